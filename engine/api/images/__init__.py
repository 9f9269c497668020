"""Endpoints about images: handlers, and the JSON that they take and return."""
