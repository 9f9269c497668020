"""Run ``update``."""

from typing import Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.container_body import Body, restart_policy
from engine.cli.failures import Failure
from engine.cli.flags import Flag, Kind, Options, integer, text
from engine.cli.lifecycle import for_each
from engine.cli.units import parse_bytes, parse_bytes_or_unlimited, parse_cpus

_BYTES: Final = Kind("bytes", parse_bytes)
_NUMBERS: Final = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "pids-limit": "PidsLimit",
}
_TEXTS: Final = {"cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems"}
_FLAGS: Final = (
    integer("blkio-weight", "", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    integer("cpu-period", "", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("cpu-quota", "", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("cpu-rt-period", "", "Limit the CPU real-time period in microseconds"),
    integer("cpu-rt-runtime", "", "Limit the CPU real-time runtime in microseconds"),
    integer("cpu-shares", "c", "CPU shares (relative weight)"),
    Flag("cpus", "", Kind("decimal", parse_cpus), "Number of CPUs"),
    text("cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)"),
    text("cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("memory", "m", _BYTES, "Memory limit"),
    Flag("memory-reservation", "", _BYTES, "Memory soft limit"),
    Flag(
        "memory-swap",
        "",
        Kind("bytes", parse_bytes_or_unlimited),
        "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
    ),
    integer("pids-limit", "", "Tune container pids limit (set -1 for unlimited)"),
    text("restart", "", "Restart policy to apply when a container exits"),
)


def _body(options: Options) -> Body:
    body: Body = {
        field: options.number(flag) for flag, field in _NUMBERS.items() if options.given(flag)
    }
    body |= {field: options.text(flag) for flag, field in _TEXTS.items() if options.given(flag)}
    if options.given("restart"):
        body["RestartPolicy"] = restart_policy(options.text("restart"))
    return body


def _update(invocation: Invocation) -> int:
    body = _body(invocation.options)
    if not body:
        raise Failure("you must provide one or more flags when using this command")
    warnings: list[str] = []

    def act(container: str) -> None:
        answer = invocation.engine.ask("POST", f"/containers/{container}/update", body=body)
        warnings.extend(answer["Warnings"] or ())

    code = for_each(invocation.arguments, act)
    for warning in warnings:
        output.error_line(warning)
    return code


COMMANDS: Final = {
    "update": Command(
        "update [OPTIONS] CONTAINER [CONTAINER...]",
        "Update configuration of one or more containers",
        _update,
        _FLAGS,
        least=1,
    )
}
