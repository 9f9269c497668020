"""Check every answer of the engine against its own description of its API.

``engine.api.openapi`` derives that description from the routes and the shapes that they name.
Daemons under test record each of their answers (tests/harness/recording.py); the test process
checks them after each test, so a daemon that is killed, or whose timing is measured, is not
disturbed by it.

    recording.py, in the daemon ── lines of a file ── answer_log.py ── validation.py
                                                  ── document.py ── engine.api.openapi

``python -m tests.conformance.compare PATH`` checks that the description says what Docker's clients
expect: it compares it with Docker's own document, which is not a part of this tree, and names every
difference; known ones are in known_differences.py.

Beside that: requests of any shape (random_requests.py, raw_http.py), and scripted sessions
(sessions.py, session_recorder.py) compared with the same sessions with Docker's own engine
(reference.py); where they may differ is a list with reasons as well (differences.py).
"""
