"""Choose which tests this machine can run, and fail in CI if one can't be run.

A missing capability skips a test by name on a laptop. CI (CI=true in the environment) has every
capability, so there a skipped test is a failed one: nothing is left untested because a package is
missing. The two exceptions are the markers ``cgroup_v1`` and ``cgroup_v2``: no machine has both
kinds of controllers, so those tests are deselected where their kind is not, and tests/vm runs the
others' half.
"""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.runtime import linux
from tests.conformance import answer_log

NEEDS_ROOT: Final = (
    "needs root, for namespaces, mounts and cgroups: config/run tests asks sudo for it"
)
IN_CI: Final = os.environ.get("CI", "").lower() in ("1", "true")
WITH_A_KERNEL: Final = frozenset(
    Path(__file__).parent / name for name in ("faults", "kernel", "load", "resolver")
)
"""Directories whose tests all need root."""
CGROUP_MARKERS: Final = {
    "cgroup_v1": "cgroup_v1: needs cgroup v1's memory controller",
    "cgroup_v2": "cgroup_v2: needs cgroup v2's memory controller; tests/vm runs these where the host has v1",
}


def pytest_configure(config: pytest.Config) -> None:
    for line in CGROUP_MARKERS.values():
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = [item for item in items if _belongs_to_other_cgroup_version(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    for item in items:
        if not WITH_A_KERNEL.isdisjoint(item.path.parents):
            item.add_marker(pytest.mark.root)
        if os.geteuid() != 0 and item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=NEEDS_ROOT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


@pytest.fixture(autouse=True)
def every_answer_conforms() -> Iterator[None]:
    """Check after each test that daemons' answers conform to the API's description:
    tests/conformance.
    """
    yield
    answer_log.assert_all_conform()


@pytest.fixture(scope="session")
def throwaway_namespaces() -> None:
    """Move the test process into its own network (loopback alone) and mount namespace, which end
    with it.

    Objects that a test forgets to remove are deleted with the test process, and never reach the
    machine.
    """
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _belongs_to_other_cgroup_version(item: pytest.Item) -> bool:
    wanted = [version for version in CGROUP_MARKERS if item.get_closest_marker(version)]
    return bool(wanted) and _cgroup_version_of_memory() not in wanted


def _cgroup_version_of_memory() -> str:
    """Return which version has the memory controller: /proc/cgroups names its hierarchy, 0 for
    v2's. cgroups(7).
    """
    for line in Path("/proc/cgroups").read_text().splitlines():
        name, hierarchy, *_ = line.split("\t")
        if name == "memory":
            return "cgroup_v2" if hierarchy == "0" else "cgroup_v1"
    return "none"


def _fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"
