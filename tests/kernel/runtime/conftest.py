"""Provide an image, bundles of it, and a way to run them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.runtime.bundle import Bundle
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import Outcome, RunContainer, config


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.busybox_root(tmp_path_factory.mktemp("image") / "root")


@pytest.fixture
def make(image: Path, tmp_path: Path) -> Callable[..., Bundle]:
    """Return a function that makes a bundle of Docker's defaults with changes."""

    def make(
        *args: str, image: Path = image, monitor: dict[str, Any] | None = None, **changes: Any
    ) -> Bundle:
        return bundles.bundle(
            tmp_path / "bundle", image, config(*args, **changes), **(monitor or {})
        )

    return make


@pytest.fixture
def run(make: Callable[..., Bundle]) -> RunContainer:
    def run(*args: str, **changes: Any) -> Outcome:
        return bundles.run(make(*args, **changes))

    return run


@pytest.fixture
def own_image(tmp_path: Path) -> Path:
    """Return an image for tests to damage: a shell, and nothing else."""
    root = bundles.busybox_root(tmp_path / "image")
    for name in ("proc", "dev", "sys"):
        (root / name).rmdir()
    return root
