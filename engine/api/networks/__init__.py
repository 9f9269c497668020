"""Endpoints about networks: handlers, and the JSON that they take and return."""
