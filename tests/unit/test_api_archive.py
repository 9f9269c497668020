"""Test paths and modes of containers' files in Docker's words."""

import base64
import json
import stat

import pytest

from engine.api.containers.file_answers import go_file_mode, path_stat_header
from engine.drivers.files.paths import asked_path
from engine.errors import InvalidRequest
from engine.ports.files import PathStat


@pytest.mark.parametrize(
    ("mode", "go"),
    [
        (stat.S_IFREG | 0o644, 420),
        (stat.S_IFDIR | 0o755, 2147484141),
        (stat.S_IFDIR | 0o1777, 2148532735),
        (stat.S_IFLNK | 0o777, 134218239),
        (stat.S_IFCHR | 0o644, 69206436),
        (stat.S_IFBLK | 0o660, 67109296),
        (stat.S_IFIFO | 0o644, 33554852),
        (stat.S_IFSOCK | 0o755, 16777709),
        (stat.S_IFREG | 0o6755, 12583405),
    ],
)
def test_modes_are_gos(mode: int, go: int) -> None:
    assert go_file_mode(mode) == go


def test_the_header_is_json_in_base64() -> None:
    name, value = path_stat_header(
        PathStat(
            name="passwd", size_bytes=71, mode=stat.S_IFREG | 0o644, mtime_ns=1_795_460_530 * 10**9
        )
    )

    assert name == "X-Docker-Container-Path-Stat"
    assert json.loads(base64.b64decode(value)) == {
        "name": "passwd",
        "size": 71,
        "mode": 420,
        "mtime": "2026-11-23T19:02:10Z",
        "linkTarget": "",
    }


@pytest.mark.parametrize(
    ("asked", "text", "directory", "base", "name"),
    [
        ("/etc/passwd", "/etc/passwd", "/etc/", "passwd", "passwd"),
        ("etc//x/../passwd", "/etc/passwd", "/etc/", "passwd", "passwd"),
        ("/", "/", "/", ".", "/"),
        (".", "/.", "/", ".", "."),
        ("/tmp/.", "/tmp/.", "/tmp/", ".", "."),
        ("/tmp/./", "/tmp/./", "/tmp/./", ".", "."),
        ("/tmp/", "/tmp/", "/tmp/", ".", "tmp"),
        ("//tmp", "/tmp", "/", "tmp", "tmp"),
        ("/../../tmp", "/tmp", "/", "tmp", "tmp"),
        ("/tmp/..", "/", "/", ".", "/"),
        ("/a.", "/a.", "/", "a.", "a."),
    ],
)
def test_a_path_is_cleaned_as_text(
    asked: str, text: str, directory: str, base: str, name: str
) -> None:
    path = asked_path(asked)

    assert (path.text, path.directory, path.base, path.name) == (text, directory, base, name)


def test_a_path_with_a_nul_byte_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        asked_path("/a\0b")
