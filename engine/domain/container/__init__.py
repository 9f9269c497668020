"""Containers: state, events and the rules for both."""
