"""Endpoints about execs."""
