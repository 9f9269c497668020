"""What the engine says, held against what the Docker Engine API v1.51 says that it says.

The document is Moby's own, `tests/data/docker-engine-api-v1.51.yaml`. Daemons under test write down each of their answers
(tests/harness/recording.py); the test process checks them after each test, so a daemon that is killed, or whose timing is looked at,
is not disturbed by it.

    recording.py, in the daemon ── lines of a file ── book.py ── judge.py ── document.py, schema.py
                                                                    └── allowances.py: where the document is not to be taken literally

Beside that: requests of any shape (junk.py, wire.py), and scripted sessions (sessions.py, stage.py) laid beside the same sessions with
Docker's own engine (reference.py); where they may differ is a list with reasons as well (differences.py).
"""
