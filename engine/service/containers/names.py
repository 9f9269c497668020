"""Check names of containers, and make one for a container without."""

import re
import secrets
from collections.abc import Callable
from typing import Final

from engine.errors import InvalidRequest

# fmt: off
_QUALITIES: Final = (
    "able", "amber", "bold", "bonny", "brave", "brisk", "bright", "calm", "candid", "clear",
    "copper", "daring", "deep", "eager", "early", "fair", "fleet", "gallant", "gentle",
    "golden", "grand", "hardy", "hearty", "honest", "jaunty", "keen", "kind", "lively", "loyal",
    "lucky", "merry", "mighty", "modest", "nimble", "noble", "plucky", "proud", "quick",
    "quiet", "ready", "salty", "silver", "snug", "sober", "sound", "stately", "staunch",
    "steady", "sturdy", "swift", "tidy", "trim", "true", "trusty", "valiant", "vigilant",
    "warm", "weathered", "wise", "worthy",
)
_THINGS: Final = (
    "albatross", "anchor", "astrolabe", "barque", "beacon", "binnacle", "bosun", "bowsprit",
    "brig", "buoy", "capstan", "caravel", "chart", "clipper", "compass", "corvette", "cutter",
    "dolphin", "dory", "drogue", "fathom", "ferry", "frigate", "galleon", "gangway", "gull",
    "halyard", "harbour", "helm", "jetty", "keel", "ketch", "lantern", "lighthouse", "lugger",
    "mainsail", "mast", "narwhal", "packet", "pilot", "porpoise", "quay", "rigging", "rudder",
    "schooner", "sextant", "skiff", "sloop", "spar", "spinnaker", "starboard", "tide", "tiller",
    "topsail", "trawler", "tugboat", "windlass", "yawl",
)
# fmt: on
_NAME: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ATTEMPTS: Final = 6


def checked_name(name: str) -> str:
    """Return a container's name without the slash that clients may put before it.

    Raises:
        InvalidRequest: Docker would not take it.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name.removeprefix("/")


def fresh_name(is_free: Callable[[str], bool]) -> str:
    """Return two words that no container has as its name; add digits after a few attempts."""
    for _ in range(_ATTEMPTS):
        name = f"{secrets.choice(_QUALITIES)}_{secrets.choice(_THINGS)}"
        if is_free(name):
            return name
    return f"{name}_{secrets.token_hex(4)}"
