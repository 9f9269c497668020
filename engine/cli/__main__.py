"""Entry point of ``shipslog``: parse global options, run one verb, set the exit code.

shipslog [-H HOST] VERB [OPTIONS] [ARGUMENTS]
"""

import os
import signal
import sys

from engine.cli import output, secrecy
from engine.cli.command import Command, Invocation
from engine.cli.connection import DEFAULT_HOST
from engine.cli.engine import Engine
from engine.cli.failures import Failure, UsageError
from engine.cli.flags import Options, parse, switch, text
from engine.cli.signals import Killed
from engine.cli.verbs import load, resolve


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        code = _exit_by_signal(
            signal.SIGPIPE
        )  # the reader has closed the pipe: end as any filter does
    except KeyboardInterrupt:
        code = _exit_by_signal(signal.SIGINT)
    except Killed as killed:
        code = _exit_by_signal(signal.Signals(killed.number))
    # Skips Python's own shutdown, which takes 3 ms and is not needed.
    os._exit(code)


def run(words: list[str]) -> int:
    """Run one command line; return the exit code."""
    try:
        options, rest = _global_options(words)
    except UsageError as error:
        output.error_line(f"{error}\n\nUsage:  shipslog [OPTIONS] COMMAND [ARG...]\n")
        output.error_line("Run 'shipslog --help' for more information")
        return error.exit_code
    if options.on("version"):
        from engine.cli.version import short_version

        output.line(short_version())
        return 0
    if not rest or rest[0] == "help" or options.on("help"):
        return _help(rest[1:])
    verb, words = resolve(rest)
    if verb is None:
        output.error_line(f"shipslog: unknown command: shipslog {' '.join(rest[:1])}\n")
        output.error_line("Run 'shipslog --help' for more information")
        return 1
    engine = Engine(_host(options), secrecy.tls_options(options))
    return _run_verb(load(verb), words, engine)


def _global_options(words: list[str]) -> tuple[Options, list[str]]:
    flags = (
        text("host", "H", ""),
        *secrecy.FLAGS,
        switch("version", "v", ""),
        switch("help", "h", ""),
    )
    if not words or not words[0].startswith("-"):
        return Options({}), words
    return parse(words, flags, interspersed=False)


def _host(options: Options) -> str:
    chosen = options.text("host")
    return (
        chosen or os.environ.get("SHIPSLOG_HOST") or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    )


def _help(verbs: list[str]) -> int:
    from engine.cli import usage

    verb = resolve(verbs)[0] if verbs else None
    output.line(usage.command_help(load(verb)) if verb else usage.program_help())
    return 0


def _run_verb(command: Command, words: list[str], engine: Engine) -> int:
    try:
        flags = (*command.flags, switch("help", "", ""))
        options, arguments = parse(words, flags, interspersed=command.interspersed)
        if options.on("help"):
            from engine.cli import usage

            output.line(usage.command_help(command))
            return 0
        command.check_arguments(len(arguments))
    except UsageError as error:
        output.error_line(f"{error}\n\nUsage:  shipslog {command.usage}\n")
        output.error_line(f"Run 'shipslog {command.name} --help' for more information")
        return error.exit_code
    try:
        return command.run(Invocation(engine, options, arguments))
    except Failure as failure:
        if str(failure):
            output.error_line(str(failure))
        return failure.exit_code


def _exit_by_signal(number: signal.Signals) -> int:
    """End by the signal itself, so that a shell sees the cause; return 128 + n if that fails."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    main()
