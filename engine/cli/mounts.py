"""Parse ``-v``, ``--mount`` and ``--tmpfs``."""

import os
from collections.abc import Iterable
from typing import Any

from engine.domain.booleans import parse_bool

_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
"""Options that need no value."""
_KEYS = {"type": "Type", "source": "Source", "src": "Source", "target": "Target", "destination": "Target", "dst": "Target"}  # fmt: skip


def binds_and_volumes(texts: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Convert ``-v`` to the API's form: with a source a bind, without one an anonymous volume.

    A relative source (``./data``) is relative to the client's directory, so it is made absolute
    here.
    """
    binds: list[str] = []
    volumes: dict[str, Any] = {}
    for text in texts:
        source, separator, rest = text.partition(":")
        if separator and not all(text.split(":")):
            raise ValueError(f"invalid spec: {text}: empty section between colons")
        if not separator:
            volumes[text] = {}
        elif source.startswith("."):
            binds.append(f"{os.path.abspath(source)}:{rest}")  # noqa: PTH100  (pathlib costs 10 ms)
        else:
            binds.append(text)
    return binds, volumes


def tmpfs(texts: Iterable[str]) -> dict[str, str]:
    """Split ``/run:size=1m`` into path and options."""
    return {path: options for path, _, options in (text.partition(":") for text in texts)}


def parse_mount(text: str) -> dict[str, Any]:
    """Convert ``type=bind,src=/a,dst=/b,readonly`` to the API's form.

    Raises:
        ValueError: malformed, with Docker's message.
    """
    mount: dict[str, Any] = {"Type": "volume"}
    nested: dict[str, dict[str, Any]] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        name = name.lower()
        if not separator:
            if name not in _SWITCHES:
                raise ValueError(f"invalid field '{part}' must be a key=value pair")
            value = "true"
        if name in ("readonly", "ro"):
            mount["ReadOnly"] = _boolean(name, value)
        elif name in _KEYS:
            mount[_KEYS[name]] = value.lower() if name == "type" else value
        else:
            _nested_option(name, value, nested)
    if mount["Type"] == "bind" and str(mount.get("Source", "")).startswith("."):
        mount["Source"] = os.path.abspath(mount["Source"])  # noqa: PTH100  (pathlib costs 10 ms)
    if not mount.get("Target"):
        raise ValueError("target is required")
    return mount | nested


def _nested_option(name: str, value: str, nested: dict[str, dict[str, Any]]) -> None:
    match name:
        case "bind-propagation":
            nested.setdefault("BindOptions", {})["Propagation"] = value
        case "bind-nonrecursive":
            nested.setdefault("BindOptions", {})["NonRecursive"] = _boolean(name, value)
        case "bind-recursive":
            nested.setdefault("BindOptions", {})["NonRecursive"] = value == "disabled"
        case "tmpfs-size":
            from engine.cli.units import parse_bytes

            nested.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_bytes(value)
        case "tmpfs-mode":
            nested.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
        case "volume-nocopy":
            nested.setdefault("VolumeOptions", {})["NoCopy"] = _boolean(name, value)
        case _:
            raise ValueError(f"unexpected key '{name}' in '{name}={value}'")


def _boolean(name: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None
