"""Test that an image can't affect the host: any path in it may be a link."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.kernel.runtime.bundles import RunContainer, bind, mount, shell


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_in_place_of_proc_or_sys_is_refused(
    run: RunContainer, own_image: Path, name: str
) -> None:
    """A mask below /proc would cover another path, and the real one would be open (CVE-2019-19921,
    CVE-2023-27561).
    """
    (own_image / name).symlink_to("/etc")
    seen = run("true", image=own_image)

    kind = {"proc": "proc", "sys": "sysfs"}[name]
    assert seen.report["message"] == f"filesystem '{kind}' must be mounted on ordinary directory"


@pytest.mark.parametrize(
    "target", ["{outside}", "../../../../../../../../../..{outside}", "/proc/self/root{outside}"]
)
def test_no_link_in_an_image_leads_a_mount_or_a_node_outside(
    run: RunContainer, own_image: Path, tmp_path: Path, target: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "source").mkdir()
    (own_image / "dev").symlink_to(target.format(outside=outside))
    (own_image / "data").symlink_to(target.format(outside=outside / "data"))
    (own_image / "srv").symlink_to(target.format(outside=outside))
    run(
        *shell("true"),
        image=own_image,
        mounts=[bind(tmp_path / "source", "/data"), mount("/srv/deep/er", "tmpfs", "tmpfs")],
        process={"cwd": "/srv/work"},
    )

    assert list(outside.iterdir()) == []
    assert not any(
        str(outside) in line for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )


def test_a_dangling_symlink_is_followed_inside_the_root(
    run: RunContainer, own_image: Path, tmp_path: Path
) -> None:
    (own_image / "data").symlink_to("/var/lib/data")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "it").touch()
    seen = run("ls", "/var/lib/data", image=own_image, mounts=[bind(tmp_path / "source", "/data")])

    assert seen.lines == ["it"]


def test_links_in_a_circle_end_in_an_error(
    run: RunContainer, own_image: Path, tmp_path: Path
) -> None:
    (own_image / "data").symlink_to("data")
    seen = run("true", image=own_image, mounts=[bind(tmp_path, "/data")])

    assert seen.report["errno"] == errno.ELOOP


@pytest.mark.parametrize("what", ["fifo", "device", "directory", "link", "huge"])
def test_a_passwd_that_is_a_pipe_does_not_block(
    run: RunContainer, own_image: Path, what: str
) -> None:
    passwd = own_image / "etc" / "passwd"
    passwd.unlink()
    match what:
        case "fifo":
            os.mkfifo(passwd)
        case "device":
            os.mknod(passwd, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        case "directory":
            passwd.mkdir()
        case "link":
            passwd.symlink_to("/etc/shadow")
        case "huge":
            with passwd.open("wb") as file:
                file.truncate(1 << 40)
    seen = run("true", image=own_image, process={"user": {"username": "12"}})

    assert seen.code == (125 if what == "huge" else 0)


def test_a_null_device_that_is_none_is_not_used_to_mask(run: RunContainer, tmp_path: Path) -> None:
    """A user's file in its place would be what is read in /proc/keys (CVE-2025-31133)."""
    (tmp_path / "null").write_text("mine")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "null").write_text("mine")
    seen = run("true", mounts=[bind(tmp_path / "null", "/dev/null")])

    assert seen.report["message"] == "/dev/null is not the null device"


def test_nothing_is_imported_from_an_image(run: RunContainer, own_image: Path) -> None:
    """A step that imports a module late would run the container's file as root of the host."""
    for place in ("usr/lib/python3.11", "usr/lib/python3/dist-packages"):
        (own_image / place).mkdir(parents=True)
        for module in ("encodings/idna", "stringprep", "traceback", "json/decoder"):
            file = own_image / place / f"{module}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text("open('/pwned', 'w')")
    seen = run("ls", "/pwned", image=own_image, hostname="host.example")

    assert "No such file" in seen.output
