"""Send SIGKILL at random moments under load: no answered request is lost, no state is wrong,
nothing is left behind.
"""

import os
import random
import time
from typing import Final

from tests.harness.conditions import settled
from tests.harness.daemon import DaemonUnderTest
from tests.load.callers import User, let_them_work

USERS: Final = 8
ROUNDS: Final = 8
ALIVE_S: Final = (0.1, 1.5)
"""How long a daemon lives, at least and at most."""


def test_a_daemon_killed_again_and_again_under_load_loses_nothing(program: DaemonUnderTest) -> None:
    seed = int(os.environ.get("SHIPSLOG_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"SHIPSLOG_SEED={seed}")  # noqa: T201  (to have the same dice again)
    dice = random.Random(seed)
    users = [User(number, random.Random(dice.random())) for number in range(USERS)]
    for _ in range(ROUNDS):
        let_them_work(users, program.api, lambda: _kill_after(program, dice.uniform(*ALIVE_S)))
        assert [complaint for user in users for complaint in user.complaints] == []

        program.start()

        program.assert_settled()
        settled(lambda: _disagreements(program, users), within_s=5)
        assert program.api.verify()["ok"]
        _settle_the_unanswered(program, users)

    answers = sum(user.answers for user in users)
    print(f"{answers} orders answered, {ROUNDS} daemons killed")  # noqa: T201  (a figure for pytest -s)
    assert answers > ROUNDS * USERS
    for identity in program.states():
        program.api.remove(identity)
    program.assert_nothing_leaked()


def _kill_after(daemon: DaemonUnderTest, delay_s: float) -> None:
    time.sleep(delay_s)  # the random moment itself, not a wait for a condition
    daemon.kill()


def _disagreements(daemon: DaemonUnderTest, users: list[User]) -> list[str]:
    present = daemon.states()
    return [wrong for user in users for wrong in user.disagreements(daemon.api, present)]


def _settle_the_unanswered(daemon: DaemonUnderTest, users: list[User]) -> None:
    """Remove containers whose creation was never answered, which may exist: their names say whose
    they are.
    """
    present = daemon.states()
    known = {each.identity for user in users for each in user.owned}
    asked = {name for user in users for name in user.asked_names}
    for identity, state in present.items():
        if identity not in known:
            assert state["Name"].removeprefix("/") in asked, f"{state['Name']} was not created"
            daemon.api.remove(identity)
    for user in users:
        user.asked_names.clear()
        user.learn(present)
