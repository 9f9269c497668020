"""Execs: additional processes in a running container."""
