"""Declare what the engine asks of drivers: Protocols, and the values that they take and return."""
