"""The event log: an append-only table, one writer, one global order.

What it promises is in ``log.py``. Imports ``domain`` and ``errors``, and is the only package that knows SQL.

    codec.py     event ⇄ row; how to add an event    chain.py      the hash that binds each row to the one before
    records.py   what goes in and what comes out      schema.py     tables and statements
    database.py  opening, and refusing to open        migrate.py    Alembic, after a backup
    commit.py    one group, one transaction           reserve.py    space for what a full disk must not refuse
    log.py       EventLog: the one door               read.py       history in blocks
    replay.py    the history, past unreadable rows
    verify.py    the audit                            released.py   every event this engine can read
    errors.py    damage, and database errors as the engine's own
    ledger.py    where a decision becomes history     projections.py  what the events come to
"""
