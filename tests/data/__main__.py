"""Write the dump of a database that has every event of today's engine. See the package's
docstring.
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

import trio

from engine.domain.event import Actor, ActorKind, Event, Origin
from engine.store.log import EventLog
from engine.store.records import Change
from engine.store.released import RELEASED
from tests.samples import bare, full

HERE = Path(__file__).parent
ORIGIN = Origin(
    actor=Actor(kind=ActorKind.USER, name="root", uid=0, gid=0, pid=1, program="/bin/sh")
)
AT_NS = 1_700_000_000_000_000_000


def _change(name: str, event: type[Event]) -> Change:
    return Change(f"sample/{name}", 1, (full(event), bare(event)), ORIGIN, AT_NS, b"{}")


async def _fill(path: Path) -> None:
    log = EventLog.open(path, threaded=False)
    await log.append([_change(name, event) for name, event in RELEASED.types.items()])
    log.close()


def main() -> None:
    """Write ``release-NAME.sql``, but never over another."""
    _, verb, name = sys.argv
    assert verb == "release"
    target = HERE / f"release-{name}.sql"
    with tempfile.TemporaryDirectory() as directory, target.open("x") as dump:
        path = Path(directory) / "log.db"
        trio.run(_fill, path)
        connection = sqlite3.connect(path)
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        dump.write(f"PRAGMA application_id={application_id};\n")
        dump.writelines(f"{line}\n" for line in connection.iterdump())
        connection.close()


if __name__ == "__main__":
    main()
