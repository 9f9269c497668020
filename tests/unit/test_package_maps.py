"""Test that the map in a package's docstring names the modules that exist."""

import ast
import re
from pathlib import Path

import pytest

import engine

ROOT = Path(engine.__file__).parent
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize(
    "folder", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT.parent))
)
def test_the_map_of_a_package_is_its_folder(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    named = set(re.findall(r"(?<![\w/])(\w+\.py)\b", text))

    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize(
    "folder",
    [folder for folder in PACKAGES if any(child.parent == folder for child in PACKAGES)],
    ids=lambda folder: str(folder.relative_to(ROOT.parent)),
)
def test_the_map_of_a_package_names_its_packages(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    named = set(re.findall(r"^ *(\w+)  ", text, re.MULTILINE))

    assert {child.name for child in PACKAGES if child.parent == folder} <= named
