"""Test which Python runs the lean processes, and how it prepares its memory before it forks."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import engine
from engine.drivers.processes.python_choice import newer_python, own_python

ROOT: Final = Path(engine.__file__ or "").parent.parent
NAME: Final = "python3.99"
_SETTLES: Final = """
import gc, sys
sys.path.insert(0, sys.argv[1])
import engine.runtime.launcher
from engine.runtime import page_sharing
marker = {}
page_sharing.settle()
if page_sharing._HAS_IMMORTALS:
    assert sys.getrefcount(marker) == sys.getrefcount(None)
class Node: pass
node = Node()
node.itself = node
del node
assert gc.collect() >= 1
print("settled")
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_newer_python_in_path_is_found_behind_its_link(path: Path) -> None:
    (path / NAME).symlink_to(own_python().executable)

    assert newer_python(["python3.98", NAME], sys.version_info[:2]) == own_python()


def test_one_that_is_too_old_is_left(path: Path) -> None:
    (path / NAME).symlink_to(own_python().executable)

    assert newer_python([NAME], (3, 98)) is None


def test_a_script_is_left_without_being_run(path: Path) -> None:
    script = path / NAME
    script.write_text(f"#!/bin/sh\necho 3 99; echo /x; echo; echo run > {path}/run\n")
    script.chmod(0o755)

    assert newer_python([NAME], (3, 12)) is None
    assert not (path / "run").exists()


def test_a_program_that_is_no_python_is_left(path: Path) -> None:
    (path / NAME).symlink_to("/bin/false")

    assert newer_python([NAME], (3, 12)) is None


def test_a_settled_process_still_collects_what_it_makes_later() -> None:
    command = (sys.executable, "-I", "-S", "-c", _SETTLES, str(ROOT))

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("settled\n", "")
