"""Hold databases as released versions wrote them, which every later version must replay.

Each ``release-NAME.sql`` is a dump of a database with every event that version knew, and never
changes again. Before a release::

    python -m tests.data release NAME

Text, because a diff shows what changed between two releases, and git stores it well.
"""
