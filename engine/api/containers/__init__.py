"""Endpoints about containers: handlers, and the JSON that they take and return."""
