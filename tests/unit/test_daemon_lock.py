"""Test that one daemon uses a data root, by a lock that ends with its holder."""

import os
from pathlib import Path

import pytest

from engine.daemon.lock import DataRootInUse, lock_data_root


def test_a_second_daemon_reports_which_process_has_the_data_root(tmp_path: Path) -> None:
    held = lock_data_root(tmp_path)

    with pytest.raises(
        DataRootInUse, match=rf"another daemon \(pid {os.getpid()}\) already serves"
    ):
        lock_data_root(tmp_path)

    os.close(held)


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    os.close(lock_data_root(tmp_path))

    os.close(lock_data_root(tmp_path))
