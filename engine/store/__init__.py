"""Keep the event log (an append-only table, one writer, one global order) and the state computed
from it.

``log.py`` says what the log promises. This package imports ``domain`` and ``errors``, and is the
only one that knows SQL.

The log:

    log.py          EventLog: append, subscribe, close; the writer's thread
    commit.py       commit a group of changes in one transaction
    records.py      what goes into the log and what comes out of it
    codec.py        turn events into rows and back; how to add an event
    released.py     list every event that this engine can read, and the upcasters
    chain.py        compute the hash that binds each row to the one before
    read.py         read the history in blocks
    selection.py    select events by place, stream, type and time
    verify.py       audit the log: hashes, gaps, versions, the head
    errors.py       the store's errors, and database errors in plain words

The database:

    database.py     open it, or refuse to
    schema.py       its tables and the statements of the hot path
    migrate.py      bring an old one up to date with Alembic, after a backup
    reserve.py      reserve disk space for stops and removals when the disk is full

The present state:

    ledger.py           Ledger: record decisions; keep the head view and the durable view
    projections.py      View: every live aggregate, with the indexes below
    states.py           the kinds of aggregates: compute, encode and decode their states
    container_index.py  find containers by ID, name and link
    exec_index.py       find execs by ID and container
    network_index.py    find networks by ID and name
    image_index.py      find images by ID
    address_index.py    find who has an address of a network
    port_index.py       find who has a port of the host
    restore.py          make a view of the stored states; compare two views
    replay.py           make a view of the history, past unreadable rows
"""
