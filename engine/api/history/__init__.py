"""Shipslog's own endpoints: history, state at a past moment, verification.

handlers.py  the endpoints
answers.py   types of the answers
"""
