"""Test which modules the lean processes import, because every running container pays for each of
them.
"""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import engine
import engine.runtime

ROOT = Path(engine.__file__ or "").parent.parent
MODULES = [module.name for module in pkgutil.iter_modules(engine.runtime.__path__)]
_FOREIGN = """
import sys
sys.path.insert(0, sys.argv[1])
__import__(sys.argv[2])
ground = ("engine", "engine.errors", "engine.failpoints", "engine.capability_names")
known = set(sys.stdlib_module_names) | set(sys.builtin_module_names)
for name in sys.modules:
    lean = name in ground or name.startswith("engine.runtime")
    if not lean and name.partition(".")[0] not in known and name != "__main__":
        print(name)
"""


@pytest.mark.parametrize("module", MODULES)
def test_a_bare_interpreter_imports_it_and_nothing_foreign(module: str) -> None:
    command = [sys.executable, "-I", "-S", "-c", _FOREIGN, str(ROOT), f"engine.runtime.{module}"]

    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout == ""


_SOCKETS = """
import sys
import engine.drivers.networks.sandbox_driver, engine.drivers.networks.firewall
print(*sorted({"pyroute2.netlink.rtnl.ifinfmsg", "pyroute2.netlink.core", "pyroute2.iproute"} & set(sys.modules)))
"""


def test_the_network_driver_loads_pyroute2s_messages_and_not_its_sockets() -> None:
    """The whole of pyroute2 costs the daemon 60 ms and 8 MB."""
    result = subprocess.run(
        [sys.executable, "-c", _SOCKETS], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert result.stdout == "pyroute2.netlink.rtnl.ifinfmsg\n"
