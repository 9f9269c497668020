"""Test that descriptors that a thread still uses are closed when it is done."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.drivers.storage.deferred_close import DeferredClose


def test_descriptors_out_of_use_are_closed_at_once_and_once() -> None:
    closed: list[str] = []
    opened = DeferredClose(lambda: closed.append("one"))
    opened.add(lambda: closed.append("two"))

    assert opened.use(lambda: "result") == "result"
    assert not closed
    opened.close()
    opened.close()

    assert closed == ["one", "two"]


def test_what_is_in_use_is_closed_at_the_end_of_the_last_use() -> None:
    closed = threading.Event()
    opened = DeferredClose(closed.set)
    begun, done = threading.Barrier(3), [threading.Event(), threading.Event()]

    def use(until: threading.Event) -> bool:
        begun.wait(10)
        return until.wait(10)

    with ThreadPoolExecutor(2) as threads:
        uses = [threads.submit(opened.use, lambda each=each: use(each)) for each in done]
        begun.wait(10)
        opened.close()
        done[0].set()
        assert uses[0].result(10)
        assert not closed.is_set()
        done[1].set()
        assert uses[1].result(10)
    assert closed.is_set()


def test_what_is_closed_is_not_used() -> None:
    opened = DeferredClose()
    opened.close()
    with pytest.raises(ValueError, match="after close"):
        opened.use(lambda: pytest.fail("its descriptors are others' by now"))


def test_a_use_that_fails_ends_as_well() -> None:
    closed: list[bool] = []
    opened = DeferredClose(lambda: closed.append(True))

    def fail() -> None:
        opened.close()
        raise OSError

    with pytest.raises(OSError):
        opened.use(fail)
    assert closed == [True]
