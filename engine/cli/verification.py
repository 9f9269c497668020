"""Run ``verify``: audit the log and everything computed from it."""

from typing import Final

from engine.cli import output
from engine.cli.command import Command, Invocation


def _verify(invocation: Invocation) -> int:
    report = invocation.engine.ask("GET", "/shipslog/verify")
    for problem in report["problems"]:
        output.error_line(str(problem))
    if report["ok"]:
        output.line(
            f"{report['events']} events: the chain is whole, every projection equals a replay"
        )
        return 0
    first = report.get("first_bad_seq")
    where = f", first at event {first}" if first is not None else ""
    output.error_line(f"{report['events']} events: not what was written{where}")
    return 1


COMMANDS: Final = {
    "verify": Command(
        "verify",
        "Check the log's hash chain, and that every projection equals a replay",
        _verify,
        most=0,
    )
}
