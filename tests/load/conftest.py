"""Load tests run the daemons of the fault tests."""

from tests.faults.conftest import (
    daemon,
    leave_the_host,
    place,
    program,
    pytest_runtest_makereport,
)

__all__ = ["daemon", "leave_the_host", "place", "program", "pytest_runtest_makereport"]
