"""Test the command line as pflag reads it, and which verb it means."""

import subprocess
import sys

import pytest

from engine.cli.container_flags import RUN_ONLY, SHARED, parse_ulimit
from engine.cli.failures import UsageError
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import integer, parse, switch, text, texts
from engine.cli.verbs import MODULES, load, resolve

FLAGS = (
    switch("interactive", "i", ""),
    switch("tty", "t", ""),
    text("name", "n", ""),
    texts("env", "e", ""),
    integer("last", "", ""),
    FILTER,
)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--name", "web"], "web"),
        (["--name=web"], "web"),
        (["-n", "web"], "web"),
        (["-nweb"], "web"),
        (["-n=web"], "web"),
        (["-itn", "web"], "web"),
        (["--name="], ""),
        (["--name", "a", "--name", "b"], "b"),
    ],
)
def test_a_value_may_stand_in_all_of_pflags_places(words: list[str], name: str) -> None:
    options, arguments = parse(words, FLAGS, interspersed=True)

    assert options.text("name", "missing") == name
    assert arguments == []


def test_switches_go_in_a_row_and_can_be_turned_off() -> None:
    options, _ = parse(["-it", "--tty=false"], FLAGS, interspersed=True)

    assert options.on("interactive")
    assert not options.on("tty")


def test_what_follows_the_first_argument_belongs_to_the_container() -> None:
    options, arguments = parse(["-i", "busybox", "ls", "-i", "--", "x"], FLAGS, interspersed=False)

    assert options.on("interactive")
    assert arguments == ["busybox", "ls", "-i", "--", "x"]


def test_elsewhere_options_may_follow_arguments_up_to_two_dashes() -> None:
    options, arguments = parse(["web", "-e", "A", "-e", "B", "--", "-i"], FLAGS, interspersed=True)

    assert options.many("env") == ["A", "B"]
    assert arguments == ["web", "-i"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-itx"], "unknown shorthand flag: 'x' in -itx"),
        (["--name"], "flag needs an argument: --name"),
        (["-n"], "flag needs an argument: 'n' in -n"),
        (["--tty=x"], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["--last", "x"], 'invalid argument "x" for "--last" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-f", "x"], 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_refused_with_pflags_words(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(words, FLAGS, interspersed=True)

    assert str(refused.value) == message
    assert refused.value.exit_code == 125


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", 0), "shipslog: 'shipslog run' requires at least 1 argument"),
        (("exec", 1), "shipslog: 'shipslog exec' requires at least 2 arguments"),
        (("rename", 1), "shipslog: 'shipslog rename' requires 2 arguments"),
        (("ps", 1), "shipslog: 'shipslog ps' accepts no arguments"),
        (("images", 2), "shipslog: 'shipslog images' requires at most 1 argument"),
    ],
)
def test_too_few_or_too_many_arguments_are_refused_with_dockers_words(
    arguments: tuple[str, int], message: str
) -> None:
    verb, count = arguments
    with pytest.raises(UsageError) as refused:
        load(verb).check_arguments(count)

    assert str(refused.value) == message
    assert refused.value.exit_code == 1


@pytest.mark.parametrize(
    ("words", "led_to"),
    [
        (["ps", "-a"], ("ps", ["-a"])),
        (["container", "ls", "-a"], ("ps", ["-a"])),
        (["container", "prune", "-f"], ("prune", ["-f"])),
        (["container", "inspect", "x"], ("inspect", ["--type", "container", "x"])),
        (["image", "rm", "x"], ("rmi", ["x"])),
        (["image", "inspect", "x"], ("inspect", ["--type", "image", "x"])),
        (["system", "info"], ("info", [])),
        (["nonesuch"], (None, [])),
    ],
)
def test_dockers_longer_spellings_lead_to_the_same_verbs(
    words: list[str], led_to: tuple[str | None, list[str]]
) -> None:
    assert resolve(words) == led_to


@pytest.mark.parametrize("verb", MODULES)
def test_every_verb_can_be_loaded_and_is_called_by_its_own_name(verb: str) -> None:
    command = load(verb)

    assert command.name == verb
    assert command.summary
    assert len({flag.name for flag in command.flags}) == len(command.flags)


def test_no_two_options_of_run_share_a_letter() -> None:
    letters = [flag.short for flag in SHARED + RUN_ONLY if flag.short]

    assert len(letters) == len(set(letters))


def test_filters_are_sent_as_the_api_takes_them() -> None:
    options, _ = parse(
        ["-f", "label=a=b", "-f", "status=exited", "-f", "label=c"], FLAGS, interspersed=True
    )

    assert (
        encoded(options.many("filter"))
        == '{"label":{"a=b":true,"c":true},"status":{"exited":true}}'
    )
    assert encoded([]) == ""


def test_one_number_of_a_ulimit_is_both_limits() -> None:
    assert parse_ulimit("nofile=10:20") == {"Name": "nofile", "Hard": 20, "Soft": 10}
    assert parse_ulimit("core=0") == {"Name": "core", "Hard": 0, "Soft": 0}
    with pytest.raises(
        ValueError, match="soft limit must be less than or equal to hard limit: 5 > 1"
    ):
        parse_ulimit("nofile=5:1")
    with pytest.raises(ValueError, match="invalid ulimit argument: x"):
        parse_ulimit("x")


def test_the_client_starts_without_the_modules_that_are_slow_to_import() -> None:
    slow = {
        "argparse",
        "http.client",
        "dataclasses",
        "pathlib",
        "ssl",
        "trio",
        "msgspec",
        "sqlalchemy",
        "datetime",
        "subprocess",
    }
    program = "import sys, engine.cli.__main__, engine.cli.version; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert slow.isdisjoint(loaded.stdout.split())
