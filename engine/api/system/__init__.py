"""Endpoints about the engine itself: ping, version, info, disk usage, login."""
