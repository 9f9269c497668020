"""``GET /events``: Docker's stream of events, read from the log.

handlers.py  the endpoint
filters.py   which events a client asked for
show.py      event → JSON
answers.py   types of the answers
"""
