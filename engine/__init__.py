"""Shipslog: an event-sourced container engine."""
