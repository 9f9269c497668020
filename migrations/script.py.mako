"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Add, never rewrite history; then raise ``HEAD_REVISION`` in engine/store/schema.py."""
    ${upgrades if upgrades else "pass"}
