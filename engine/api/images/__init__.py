"""Endpoints about images: handlers, and the JSON that they take and return.

handlers.py   list, inspect, history, import, load, tag, remove, prune
commit.py     an image of what a container changed
filters.py    the filters of list and prune
platforms.py  the platform parameter
show.py       image → JSON
answers.py    types of the answers
"""
