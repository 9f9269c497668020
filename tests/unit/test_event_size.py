"""Test the limit of an event's size: a creation beyond it is refused, and nothing of it is left."""

from pathlib import Path

import pytest
import trio

from engine.domain.container.events import Created, StartFailed
from engine.domain.container.spec import Spec
from engine.domain.ids import ContainerId, ImageId
from engine.domain.streams import container_stream
from engine.errors import DriverError, Kind
from engine.store.codec import EVENT_BYTES_MAX
from engine.store.errors import EventTooLarge
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.store.released import RELEASED
from tests.unit.test_ledger import ORIGIN, Clock

BOAT = ContainerId("a" * 64)


def created(label_bytes: int) -> Created:
    labels = {"cargo": "x" * label_bytes}
    spec = Spec(image="busybox", image_id=ImageId("sha256:" + "0" * 64), labels=labels)
    return Created(id=BOAT, name="boat", spec=spec)


def test_a_creation_that_is_too_large_is_the_callers_mistake_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    ledger = Ledger(EventLog.open(tmp_path / "shipslog.db", threaded=False), Clock())

    async def history() -> None:
        with pytest.raises(EventTooLarge, match="too much for one event") as refused:
            await ledger.record(ORIGIN, (container_stream(BOAT), (created(EVENT_BYTES_MAX),)))
        assert refused.value.kind is Kind.INVALID
        assert not ledger.head.containers
        await ledger.record(ORIGIN, (container_stream(BOAT), (created(EVENT_BYTES_MAX // 2),)))

    trio.run(history)

    assert ledger.head.containers.keys() == ledger.durable.containers.keys() == {BOAT}
    assert ledger.log.last_seq == 1
    ledger.log.close()


def test_why_an_effect_failed_fits_into_an_event_whatever_it_names() -> None:
    error = DriverError(f"look for {chr(1) * EVENT_BYTES_MAX}: File name too long")

    event = StartFailed(message=str(error), exit_code=125)

    assert str(error).startswith("look for ")
    assert str(error).endswith(": File name too long")
    assert RELEASED.decode(*RELEASED.encode(event)) == event
