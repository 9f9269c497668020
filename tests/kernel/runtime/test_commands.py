"""Test which commands a container runs, with Docker's messages and exit codes."""

from pathlib import Path

import pytest

from tests.kernel.runtime.bundles import RunContainer, shell


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        ([""], 127, 'exec: "": executable file not found in $PATH'),
        (["/nope"], 127, 'exec: "/nope": stat /nope: no such file or directory'),
        (["nope/x"], 127, 'exec: "nope/x": stat nope/x: no such file or directory'),
        (["/etc/passwd/x"], 126, 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 126, 'exec: "/etc": permission denied'),
        (["/bin/text"], 126, "exec /bin/text: exec format error"),
        (["text"], 126, "exec /bin/text: exec format error"),
        (["/bin/script"], 127, "exec /bin/script: no such file or directory"),
        (["/bin/private"], 126, "exec /bin/private: permission denied"),
        ([], 125, "No command specified"),
    ],
)
def test_a_command_that_can_not_run_is_refused_in_dockers_words(
    run: RunContainer, own_image: Path, args: list[str], code: int, message: str
) -> None:
    for name, content, mode in (
        ("text", "hello", 0o755),
        ("script", "#!/nope\n", 0o755),
        ("private", "#!/bin/sh\n", 0o700),
    ):
        (own_image / "bin" / name).write_text(content)
        (own_image / "bin" / name).chmod(mode)
    seen = run(*args, image=own_image, process={"user": {"username": "nobody"}})

    assert (seen.report["message"], seen.report["exit_code"], seen.code) == (message, code, code)


def test_path_is_the_containers(run: RunContainer, own_image: Path) -> None:
    (own_image / "opt").mkdir()
    (own_image / "opt" / "tool").write_text("#!/bin/sh\necho found\n")
    (own_image / "opt" / "tool").chmod(0o755)
    seen = run("tool", image=own_image, process={"env": ["PATH=/nowhere:/opt:/bin"]})

    assert seen.output == "found\n"


def test_a_command_in_a_relative_path_is_refused(run: RunContainer) -> None:
    seen = run("true", process={"env": ["PATH=bin"]})

    assert (
        seen.report["message"]
        == 'exec: "true": cannot run executable found relative to current directory'
    )


def test_the_environment_is_what_was_asked_for(run: RunContainer) -> None:
    seen = run("env", process={"env": ["PATH=/bin", "A=1", "B=two words", "A=3"]})

    assert sorted(seen.lines) == ["A=3", "B=two words", "HOME=/root", "PATH=/bin"]


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$; sleep 1", 0)])
def test_its_exit_code_is_its_own(run: RunContainer, script: str, code: int) -> None:
    """PID 1 ignores signals from inside, pid_namespaces(7)."""
    assert run(*shell(script)).code == code
