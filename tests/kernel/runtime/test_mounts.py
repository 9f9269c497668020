"""Test what is mounted from the host, and how."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runtime import linux
from engine.runtime.bundle import Bundle
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import Outcome, RunContainer, bind, mount, mounts_of, shell


def test_a_directory_and_a_file_are_bound_where_nothing_was(
    run: RunContainer, tmp_path: Path
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("hello\n")
    seen = run(
        *shell("cat /new/dir/file /new/file; echo changed > /new/file"),
        mounts=[bind(tmp_path / "from", "/new/dir"), bind(tmp_path / "from/file", "/new/file")],
    )

    assert seen.lines == ["hello", "hello"]
    assert (tmp_path / "from" / "file").read_text() == "changed\n"


@pytest.mark.parametrize(
    ("option", "refused"), [("rw", []), ("ro", ["top"]), ("rro", ["top", "below"])]
)
def test_read_only_binds(
    run: RunContainer, tmp_path: Path, option: str, refused: list[str]
) -> None:
    (tmp_path / "from" / "below").mkdir(parents=True)
    linux.mount("tmpfs", str(tmp_path / "from" / "below"), "tmpfs")
    script = "touch /to/x 2>/dev/null || echo top; touch /to/below/x 2>/dev/null || echo below"
    seen = run(*shell(script), mounts=[bind(tmp_path / "from", "/to", option)])
    linux.umount2(str(tmp_path / "from" / "below"))

    assert seen.lines == refused


@pytest.mark.parametrize(
    ("propagation", "arrives"), [("rprivate", False), ("rslave", True), ("rshared", True)]
)
def test_propagation_is_what_was_asked_for(
    make: Callable[..., Bundle], tmp_path: Path, propagation: str, arrives: bool
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    linux.mount("tmpfs", str(host), "tmpfs")
    linux.mount(None, str(host), flags=linux.MS_SHARED)
    (host / "late").mkdir()

    def act(monitor: bundles.Monitor) -> Outcome:
        first = monitor.init()
        linux.mount("tmpfs", str(host / "late"), "tmpfs")
        (host / "late" / "file").touch()
        seen = monitor.exec("ls", "/to/late")
        first.kill()
        linux.umount2(str(host / "late"))
        return seen

    seen = Outcome(
        *bundles.in_monitor(make("sleep", "60", mounts=[bind(host, "/to", propagation)]), act)
    )
    linux.umount2(str(host))

    assert seen.lines == (["file"] if arrives else [])


def test_bind_options_apply(run: RunContainer, tmp_path: Path) -> None:
    seen = mounts_of(
        run(
            "cat",
            "/proc/self/mountinfo",
            mounts=[bind(tmp_path, "/to", "ro", "nosuid", "nodev", "noexec", "noatime")],
        )
    )

    assert seen["/to"][1] == "ro,nosuid,nodev,noexec,noatime"


def test_a_tmpfs_takes_the_mode_of_the_directory_below_unless_given(run: RunContainer) -> None:
    mounts = [mount("/tmp", "tmpfs", "tmpfs"), mount("/root", "tmpfs", "tmpfs", "mode=700"), mount("/new", "tmpfs", "tmpfs", "size=1m")]  # fmt: skip
    seen = run("stat", "-c", "%a", "/tmp", "/root", "/new", mounts=mounts)

    assert seen.lines == ["1777", "700", "1777"]


@pytest.mark.parametrize(("source", "destination"), [("file", "/bin"), (".", "/etc/passwd")])
def test_a_directory_is_not_bound_onto_a_file_nor_a_file_onto_a_directory(
    run: RunContainer, tmp_path: Path, source: str, destination: str
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / source
    seen = run("true", mounts=[bind(place, destination)])

    assert seen.code == 125
    assert seen.report["message"] == (
        f'error mounting "{place}" to rootfs at "{destination}": mount {place}:{destination}: not a directory: Are you '
        "trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
    )


def test_a_missing_bind_source_is_reported(run: RunContainer) -> None:
    seen = run("true", mounts=[bind(Path("/nowhere"), "/to")])

    assert (
        seen.report["message"]
        == 'error mounting "/nowhere" to rootfs at "/to": stat /nowhere: no such file or directory'
    )
