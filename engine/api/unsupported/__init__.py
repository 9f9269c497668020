"""Refuse the parts of Docker's API that this engine does not have.

There are no managed volumes, no builds, no plugins and no swarm. Lists of them are empty, what
names one is not found, and what would make one is refused. Malformed requests are refused as such.

routes.py    the table of routes
refusals.py  the errors, and the checks of requests before them
answers.py   types of the empty answers
"""
