"""Ask before something is deleted."""

import os

from engine.cli import output


def confirmed(warning: str) -> bool:
    """Show a warning, and return whether the user at the terminal confirms it."""
    output.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    answer = os.read(output.STDIN, 1024).decode(errors="replace").strip().lower()
    return answer in ("y", "yes")
