"""Look up ``user[:group]`` in the /etc/passwd and /etc/group of the root file system.

The rules are Docker's: a name or a number on either side; a number need not exist; without a group
it is the user's own, together with the groups that list the user; a number without an entry has
group 0.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.runtime.bundle import User
from engine.runtime.failure import SetupFailed
from engine.runtime.inside import read_regular_file

ID_MAX: Final = (1 << 31) - 1
_DATABASE_BYTES_MAX: Final = 16 * 1024 * 1024


class Identity(NamedTuple):
    """The IDs of a process; ``groups`` are the supplementary ones, its own first."""

    uid: int
    gid: int
    groups: list[int]
    home: str


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: list[str]


def resolve_identity(root_fd: int, user: User) -> Identity:
    """Look a user up below a root directory.

    Raises:
        SetupFailed: no such user or group, or a number out of range, in Docker's words.
    """
    wanted, _, wanted_group = user.get("username", "").partition(":")
    if not wanted and not wanted_group and user.get("uid"):
        wanted, wanted_group = str(user["uid"]), str(user.get("gid", 0))
    account = _find_account(root_fd, wanted)
    more = user.get("additionalGroups", ())
    groups = list(_groups(root_fd)) if wanted_group or account.name or more else []
    if wanted_group:
        gid, listed = _find_group(groups, wanted_group, "unable"), []
    else:
        gid, listed = account.gid, [group.gid for group in groups if account.name in group.members]
    asked = [_find_group(groups, name, "Unable") for name in more]
    supplementary = dict.fromkeys([gid, *listed, *user.get("additionalGids", ()), *asked])
    return Identity(account.uid, gid, list(supplementary), account.home)


def _find_account(root_fd: int, wanted: str) -> _Account:
    number = _number(wanted) if wanted else 0
    for account in _accounts(root_fd):
        if account.uid == number or (wanted and account.name == wanted):
            return account
    if number is None:
        raise SetupFailed(f"unable to find user {wanted}: no matching entries in passwd file")
    return _Account("", _in_range(number), 0, "/")


def _find_group(groups: list[_Group], wanted: str, unable: str) -> int:
    """Return the first group with a name or number. Docker capitalises the message about
    ``--group-add``.
    """
    number = _number(wanted)
    for group in groups:
        if group.gid == number or group.name == wanted:
            return group.gid
    if number is None:
        raise SetupFailed(f"{unable} to find group {wanted}: no matching entries in group file")
    return _in_range(number)


def _number(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return int(text) if digits.isascii() and digits.isdigit() else None


def _in_range(number: int) -> int:
    if not 0 <= number <= ID_MAX:
        raise SetupFailed(f"uids and gids must be in range 0-{ID_MAX}")
    return number


def _accounts(root_fd: int) -> Iterator[_Account]:
    """Yield the accounts of passwd(5); skip invalid lines."""
    for fields in _rows(root_fd, "etc/passwd", 4):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is not None and gid is not None:
            yield _Account(fields[0], uid, gid, fields[5] if len(fields) > 5 else "/")


def _groups(root_fd: int) -> Iterator[_Group]:
    """Yield the groups of group(5); skip invalid lines."""
    for fields in _rows(root_fd, "etc/group", 3):
        gid = _number(fields[2])
        if gid is not None:
            yield _Group(fields[0], gid, fields[3].split(",") if len(fields) > 3 else [])


def _rows(root_fd: int, path: str, columns: int) -> Iterator[list[str]]:
    content = read_regular_file(root_fd, path, _DATABASE_BYTES_MAX)
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= columns:
            yield fields
