"""Define the options of ``run`` and ``create``."""

import re
from typing import Final

from engine.cli.attach import DETACH_KEYS
from engine.cli.environment import ENV, ENV_FILE, LABEL, LABEL_FILE
from engine.cli.flags import Flag, Kind, integer, switch, text, texts
from engine.cli.mounts import parse_mount
from engine.cli.ports import is_address
from engine.cli.times import parse_duration
from engine.cli.units import parse_bytes, parse_bytes_or_unlimited, parse_cpus

_ULIMITS: Final = frozenset(
    {
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    }
)  # fmt: skip
_NUMBER: Final = re.compile(r"-?\d+")


def parse_ulimit(text: str) -> dict[str, int | str]:
    """Convert ``nofile=1024:2048`` to the API's form; one number sets both limits.

    Raises:
        ValueError: malformed, unknown, or a soft limit above the hard one.
    """
    name, separator, values = text.partition("=")
    if not separator:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    soft, _, hard = values.partition(":")
    if ":" in hard:
        raise ValueError(
            f"too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
        )
    hard = hard or soft
    for number in (soft, hard):
        if _NUMBER.fullmatch(number) is None:
            raise ValueError(f'strconv.ParseInt: parsing "{number}": invalid syntax')
    if int(soft) == -1 and int(hard) != -1:
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}"
        )
    if int(soft) > int(hard) != -1:
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return {"Name": name, "Hard": int(hard), "Soft": int(soft)}


def _parse_stream(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def _parse_pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _parse_sysctl(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.startswith(
        ("kernel.msg", "kernel.sem", "kernel.shm", "net.", "fs.mqueue.")
    ):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, value


def _parse_host(text: str) -> str:
    name, _, address = text.partition("=" if "=" in text else ":")
    if not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    return f"{name}:{address}"


def _parse_dns(text: str) -> str:
    if not is_address(text):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text


_BYTES: Final = Kind("bytes", parse_bytes)
_BYTES_OR_ALL: Final = Kind("bytes", parse_bytes_or_unlimited)
_DURATION: Final = Kind("duration", parse_duration)

SHARED: Final[tuple[Flag, ...]] = (
    Flag("add-host", "", Kind("list", _parse_host, many=True), "Add a custom host-to-IP mapping (host:ip)"),
    Flag("attach", "a", Kind("list", _parse_stream, many=True), "Attach to STDIN, STDOUT or STDERR"),
    texts("cap-add", "", "Add Linux capabilities"),
    texts("cap-drop", "", "Drop Linux capabilities"),
    text("cgroup-parent", "", "Optional parent cgroup for the container"),
    text("cgroupns", "", "Cgroup namespace to use (host|private)"),
    text("cidfile", "", "Write the container ID to the file"),
    integer("cpu-period", "", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("cpu-quota", "", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("cpu-shares", "c", "CPU shares (relative weight)"),
    Flag("cpus", "", Kind("decimal", parse_cpus), "Number of CPUs"),
    text("cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)"),
    text("cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)"),
    texts("device", "", "Add a host device to the container"),
    Flag("dns", "", Kind("list", _parse_dns, many=True), "Set custom DNS servers"),
    texts("dns-option", "", "Set DNS options"),
    texts("dns-search", "", "Set custom DNS search domains"),
    text("domainname", "", "Container NIS domain name"),
    text("entrypoint", "", "Overwrite the default ENTRYPOINT of the image"),
    ENV,
    ENV_FILE,
    texts("expose", "", "Expose a port or a range of ports"),
    texts("group-add", "", "Add additional groups to join"),
    text("health-cmd", "", "Command to run to check health"),
    Flag("health-interval", "", _DURATION, "Time between running the check (ms|s|m|h)"),
    integer("health-retries", "", "Consecutive failures needed to report unhealthy"),
    Flag("health-start-interval", "", _DURATION, "Time between running the check during the start period (ms|s|m|h)"),
    Flag("health-start-period", "", _DURATION, "Start period for the container to initialize (ms|s|m|h)"),
    Flag("health-timeout", "", _DURATION, "Maximum time to allow one check to run (ms|s|m|h)"),
    text("hostname", "h", "Container host name"),
    switch("init", "", "Run an init inside the container that forwards signals and reaps processes"),
    switch("interactive", "i", "Keep STDIN open even if not attached"),
    text("ip", "", "IPv4 address (e.g., 172.30.100.104)"),
    text("ip6", "", "IPv6 address (e.g., 2001:db8::33)"),
    text("ipc", "", "IPC mode to use"),
    LABEL,
    LABEL_FILE,
    texts("link", "", "Add link to another container"),
    text("log-driver", "", "Logging driver for the container"),
    Flag("log-opt", "", Kind("list", _parse_pair, many=True), "Log driver options"),
    text("mac-address", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("memory", "m", _BYTES, "Memory limit"),
    Flag("memory-reservation", "", _BYTES, "Memory soft limit"),
    Flag("memory-swap", "", _BYTES_OR_ALL, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    integer("memory-swappiness", "", "Tune container memory swappiness (0 to 100)", "-1"),
    Flag("mount", "", Kind("mount", parse_mount, many=True), "Attach a filesystem mount to the container"),
    text("name", "", "Assign a name to the container"),
    text("network", "", "Connect a container to a network: bridge, none or host"),
    Flag("net", "", Kind("string", str), "", hidden=True),
    texts("network-alias", "", "Add network-scoped alias for the container"),
    switch("no-healthcheck", "", "Disable any container-specified HEALTHCHECK"),
    switch("oom-kill-disable", "", "Disable OOM Killer"),
    integer("oom-score-adj", "", "Tune host's OOM preferences (-1000 to 1000)"),
    text("pid", "", "PID namespace to use"),
    integer("pids-limit", "", "Tune container pids limit (set -1 for unlimited)"),
    text("platform", "", "Set platform if server is multi-platform capable"),
    switch("privileged", "", "Give extended privileges to this container"),
    texts("publish", "p", "Publish a container's port(s) to the host"),
    switch("publish-all", "P", "Publish all exposed ports to random ports"),
    text("pull", "", 'Pull image before running ("always", "missing", "never")', '"missing"'),
    switch("quiet", "q", "Suppress the pull output"),
    switch("read-only", "", "Mount the container's root filesystem as read only"),
    text("restart", "", "Restart policy to apply when a container exits", '"no"'),
    switch("rm", "", "Automatically remove the container when it exits"),
    text("runtime", "", "Runtime to use for this container"),
    texts("security-opt", "", "Security options: no-new-privileges, seccomp=FILE|unconfined"),
    Flag("shm-size", "", _BYTES, "Size of /dev/shm"),
    text("stop-signal", "", "Signal to stop the container"),
    integer("stop-timeout", "", "Timeout (in seconds) to stop a container"),
    Flag("sysctl", "", Kind("map", _parse_sysctl, many=True), "Sysctl options"),
    texts("tmpfs", "", "Mount a tmpfs directory"),
    switch("tty", "t", "Allocate a pseudo-TTY"),
    Flag("ulimit", "", Kind("ulimit", parse_ulimit, many=True), "Ulimit options"),
    text("user", "u", "Username or UID (format: <name|uid>[:<group|gid>])"),
    text("userns", "", "User namespace to use"),
    text("uts", "", "UTS namespace to use"),
    texts("volume", "v", "Bind mount a volume"),
    texts("volumes-from", "", "Mount volumes from the specified container(s)"),
    text("workdir", "w", "Working directory inside the container"),
)  # fmt: skip

RUN_ONLY: Final[tuple[Flag, ...]] = (
    switch("detach", "d", "Run container in background and print container ID"),
    DETACH_KEYS,
    switch("sig-proxy", "", "Proxy received signals to the process", "true"),
)
