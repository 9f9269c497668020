"""Test that one holder at a time has a container's lock."""

import trio
import trio.testing

from engine.container_locks import ContainerLocks
from engine.domain.ids import ContainerId

A, B = ContainerId("a" * 64), ContainerId("b" * 64)


def test_writers_of_one_container_come_one_after_the_other_and_others_do_not_wait() -> None:
    async def main() -> None:
        locks, inside = ContainerLocks(), list[str]()
        done = trio.Event()

        async def write(container: ContainerId, name: str) -> None:
            async with locks.hold(container):
                inside.append(name)
                await done.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, A, "first")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(write, A, "second")
            nursery.start_soon(write, B, "elsewhere")
            await trio.testing.wait_all_tasks_blocked()
            assert inside == ["first", "elsewhere"]
            done.set()

        assert inside == ["first", "elsewhere", "second"]
        assert not locks._locks, "a lock is kept only while it is used"

    trio.run(main)


def test_a_thread_may_release_what_a_task_has_acquired() -> None:
    async def main() -> None:
        locks = ContainerLocks()
        release = await locks.acquire(A)
        await trio.to_thread.run_sync(release)
        with trio.fail_after(10):
            async with locks.hold(A):
                pass
        assert not locks._locks

    trio.run(main)


def test_a_cancelled_waiter_leaves_no_lock() -> None:
    async def main() -> None:
        locks = ContainerLocks()
        async with locks.hold(A):
            with trio.move_on_after(0):
                async with locks.hold(A):
                    raise AssertionError("there is one already")
        assert not locks._locks

    trio.run(main)
