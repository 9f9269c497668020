"""Endpoints about execs.

handlers.py  create, start, resize, inspect
"""
