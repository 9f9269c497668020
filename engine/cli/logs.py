"""Run ``logs``."""

from typing import Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.flags import Options, switch, text
from engine.cli.streams import Demultiplexer
from engine.cli.times import now_ns, parse_moment, unix_seconds


def moment(options: Options, name: str) -> str:
    """Convert ``--since`` or ``--until`` to the form of Docker's API; empty if not given.

    Raises:
        Failure: it is not a time.
    """
    if not options.text(name):
        return ""
    try:
        return unix_seconds(parse_moment(options.text(name), now_ns()))
    except ValueError as error:
        raise Failure(f'invalid value for "{name}": {error}') from None


def _logs(invocation: Invocation) -> int:
    engine, options = invocation.engine, invocation.options
    query = {
        "details": "1" if options.on("details") else "",
        "follow": "1" if options.on("follow") else "",
        "since": moment(options, "since"),
        "stderr": "1",
        "stdout": "1",
        "tail": options.text("tail", "all"),
        "timestamps": "1" if options.on("timestamps") else "",
        "until": moment(options, "until"),
    }
    container = engine.ask("GET", f"/containers/{invocation.arguments[0]}/json")
    response = engine.request("GET", f"/containers/{container['Id']}/logs", query)
    if container["Config"]["Tty"]:
        for block in response.blocks():
            output.write_bytes(output.STDOUT, block)
        return 0
    demultiplexer = Demultiplexer()
    for block in response.blocks():
        for fd, piece in demultiplexer.feed(block):
            output.write_bytes(fd, piece)
    return 0


COMMANDS: Final = {
    "logs": Command(
        "logs [OPTIONS] CONTAINER",
        "Fetch the logs of a container",
        _logs,
        (
            switch("details", "", "Show extra details provided to logs"),
            switch("follow", "f", "Follow log output"),
            text("since", "", 'Show logs since a time ("2013-01-02T13:23:37Z") or relative ("42m" for 42 minutes)'),
            text("tail", "n", "Number of lines to show from the end of the logs", '"all"'),
            switch("timestamps", "t", "Show timestamps"),
            text("until", "", 'Show logs before a time ("2013-01-02T13:23:37Z") or relative ("42m" for 42 minutes)'),
        ),
        least=1,
        most=1,
    )
}  # fmt: skip
