"""Create the event log, the live state of aggregates, and the head of the chain."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

REFUSED = ("update", "delete")
GENESIS_HASH = bytes(32)


def upgrade() -> None:
    """Create the tables, and triggers that refuse changes to past events."""
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("at_ns", sa.Integer, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("cause", sa.Integer),
        sa.Column("correlation", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("stream", "version", name="events_stream_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_type", "events", ["type"])
    op.create_index("events_at_ns", "events", ["at_ns"])
    op.create_table(
        "aggregates",
        sa.Column("stream", sa.Text, primary_key=True, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": GENESIS_HASH}])
    for verb in REFUSED:
        op.execute(
            f"CREATE TRIGGER events_refuse_{verb} BEFORE {verb.upper()} ON events "
            "BEGIN SELECT RAISE(ABORT, 'history is only appended to'); END"
        )
    # INSERT OR REPLACE deletes without firing the trigger above; and a log grows at one end only.
    op.execute(
        "CREATE TRIGGER events_refuse_elsewhere BEFORE INSERT ON events "
        "WHEN NEW.seq <= (SELECT max(seq) FROM events) "
        "BEGIN SELECT RAISE(ABORT, 'history is only appended to'); END"
    )
