"""The map in a package's docstring names the modules that are there."""

import re
from pathlib import Path

import pytest

from engine import daemon


@pytest.mark.parametrize("package", [daemon], ids=lambda package: package.__name__)
def test_the_map_of_a_package_is_its_folder(package: object) -> None:
    text = getattr(package, "__doc__", "")
    folder = Path(getattr(package, "__file__", "")).parent
    named = set(re.findall(r"(?<![\w/])(\w+\.py)", text))

    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}
