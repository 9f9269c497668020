"""Test user and working directory of a container's first process."""

from typing import Any

import pytest

from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import RunContainer, shell


@pytest.mark.parametrize(
    ("user", "expected", "home"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "/root"),
        ("root", "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "/root"),
        ("0:0", "uid=0(root) gid=0(root) groups=0(root)", "/root"),
        (":", "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "/root"),
        ("daemon", "uid=1(daemon) gid=1 groups=1,10(wheel),63(audio)", "/var"),
        ("1", "uid=1(daemon) gid=1 groups=1,10(wheel),63(audio)", "/var"),
        ("daemon:audio", "uid=1(daemon) gid=63(audio) groups=63(audio)", "/var"),
        ("nobody:63", "uid=65534(nobody) gid=63(audio) groups=63(audio)", "/"),
        ("1234", "uid=1234 gid=0(root) groups=0(root)", "/"),
        ("1234:77", "uid=1234 gid=77 groups=77", "/"),
    ],
)
def test_users_are_those_of_the_image(
    run: RunContainer, user: str, expected: str, home: str
) -> None:
    seen = run(*shell("id; echo $HOME"), process={"user": {"username": user}})

    assert seen.lines == [expected, home]


def test_groups_that_were_added_come_along(run: RunContainer) -> None:
    user = {"username": "nobody", "additionalGroups": ["audio", "55"]}
    seen = run("id", process={"user": user})

    assert (
        seen.output == "uid=65534(nobody) gid=65534(nogroup) groups=55,63(audio),65534(nogroup)\n"
    )


def test_a_home_that_was_asked_for_is_kept(run: RunContainer) -> None:
    seen = run(*shell("echo $HOME"), process={"env": [bundles.PATH, "HOME=/elsewhere"]})

    assert seen.lines == ["/elsewhere"]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"username": "nosuch"}, "unable to find user nosuch: no matching entries in passwd file"),
        ({"username": "nobody:nosuch"}, "unable to find group nosuch: no matching entries in group file"),
        ({"username": "99999999999"}, "uids and gids must be in range 0-2147483647"),
        ({"username": "-1"}, "uids and gids must be in range 0-2147483647"),
        ({"username": "1:4294967296"}, "uids and gids must be in range 0-2147483647"),
        ({"additionalGroups": ["nosuch"]}, "Unable to find group nosuch: no matching entries in group file"),
    ],
)  # fmt: skip
def test_unknown_users_are_refused_in_dockers_words(
    run: RunContainer, user: dict[str, Any], message: str
) -> None:
    seen = run("true", process={"user": user})

    assert (seen.report["message"], seen.code) == (message, 125)


def test_its_stdio_is_its_users(run: RunContainer) -> None:
    seen = run(
        *shell("stat -L -c %u /proc/self/fd/1 /proc/self/fd/0"),
        process={"user": {"username": "nobody"}},
    )

    assert seen.lines == ["65534", "0"]  # /dev/null stays the machine's


def test_a_working_directory_is_made_where_it_is_missing(run: RunContainer) -> None:
    seen = run(
        *shell("pwd; stat -c %u:%a . .."),
        process={"cwd": "/new/dir", "user": {"username": "nobody"}},
    )

    assert seen.lines == ["/new/dir", "0:755", "0:755"]


def test_a_working_directory_that_is_a_file_is_refused(run: RunContainer) -> None:
    seen = run("true", process={"cwd": "/etc/passwd"})

    assert (seen.report["message"], seen.code) == (
        "Cannot mkdir: /etc/passwd is not a directory",
        125,
    )
