"""Identify processes safely, and start lean ones."""
