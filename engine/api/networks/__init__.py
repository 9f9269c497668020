"""Endpoints about networks: handlers, and the JSON that they take and return.

handlers.py  create, list, inspect, remove, prune, connect, disconnect
create.py    bodies of create and connect → domain
show.py      network → JSON
answers.py   types of the answers
"""
