"""What the engine says, held against its own description of its API.

``engine.api.openapi`` derives that description from the routes and the shapes that they name.
Daemons under test write down each of their answers (tests/harness/recording.py); the test process
checks them after each test, so a daemon that is killed, or whose timing is looked at, is not
disturbed by it.

    recording.py, in the daemon ── lines of a file ── book.py ── judge.py ── document.py ── engine.api.openapi

Whether the description says what Docker's clients expect, ``python -m tests.conformance.compare
PATH`` tells: it lays it beside Docker's own document, which is not a part of this tree, and names
every difference; those that are known stand in known_differences.py.

Beside that: requests of any shape (junk.py, wire.py), and scripted sessions (sessions.py, recorder.py)
laid beside the same sessions with Docker's own engine (reference.py); where they may differ is a
list with reasons as well (differences.py).
"""
