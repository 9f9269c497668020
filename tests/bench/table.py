"""List every benchmark: what it measures, what it is compared with, how often."""

from typing import Final

from tests.bench import calls, client, crash, crowd, memory, networks, one, store, streams
from tests.bench.sampling import Benchmark, Better, Figure

LOW: Final = Better.LOWER
HIGH: Final = Better.HIGHER

BENCHMARKS: Final = (
    Benchmark(
        name="run",
        figures=(Figure("docker run --rm busybox true, bridge", "ms", LOW, 110, 3, floors=3),),
        method=client.docker_run("bridge"),
        floor=client.docker_version,
        rounds=15,
    ),
    Benchmark(
        name="run-none",
        figures=(Figure("  the same, no network", "ms", LOW, 110, 3, floors=3),),
        method=client.docker_run("none"),
        floor=client.docker_version,
        rounds=15,
    ),
    Benchmark(
        name="run-host",
        figures=(Figure("  the same, the host's network", "ms", LOW, 110, 3, floors=3),),
        method=client.docker_run("host"),
        floor=client.docker_version,
        rounds=15,
    ),
    Benchmark(
        name="start",
        figures=(Figure("create + start until the process runs, bridge", "ms", LOW, 20, 3),),
        method=one.create_and_start("bridge"),
        floor=one.spawn,
        rounds=25,
    ),
    Benchmark(
        name="start-none",
        figures=(Figure("  the same, no network", "ms", LOW, 20, 3),),
        method=one.create_and_start("none"),
        floor=one.spawn,
        rounds=25,
    ),
    Benchmark(
        name="exec",
        figures=(Figure("exec of true", "ms", LOW, 20, 3),),
        method=one.exec_true,
        floor=one.join,
        rounds=25,
    ),
    Benchmark(
        name="life",
        figures=(
            Figure("create, bridge", "ms", LOW, times=1),
            Figure("  start", "ms", LOW, times=3),
            Figure("  stop, of a process that obeys", "ms", LOW, times=1),
            Figure("  rm", "ms", LOW, times=1),
        ),
        method=calls.life,
        rounds=25,
    ),
    Benchmark(
        name="end",
        figures=(
            Figure("kill until exited", "ms", LOW, 20, 1),
            Figure("rm", "ms", LOW, 10, 1),
        ),
        method=one.kill_and_remove,
        floor=one.end_and_clear,
        rounds=25,
    ),
    Benchmark(
        name="crowd",
        figures=(
            Figure("100 containers, bridge, 8 callers: start", "/s", HIGH, 25, 1),
            Figure("  memory of each one's monitor, PSS", "MB", LOW, 1.0),
            Figure("  remove all", "s", LOW, 3, 1),
        ),
        method=crowd.start_and_remove,
        floor=crowd.spawn_and_end,
        rounds=3,
    ),
    Benchmark(
        name="idle",
        figures=(Figure("daemon and launcher, idle, PSS", "MB", LOW, 70),),
        method=memory.idle,
        floor=memory.imports,
        rounds=3,
    ),
    Benchmark(
        name="idle-cpu",
        figures=(Figure("daemon's processor, no container", "%", LOW, 0.3),),
        method=memory.idle_cpu(0),
        rounds=2,
    ),
    Benchmark(
        name="idle-cpu-100",
        figures=(Figure("  100 idle containers", "%", LOW, 0.3),),
        method=memory.idle_cpu(100),
        rounds=2,
    ),
    Benchmark(
        name="idle-cpu-1000",
        figures=(Figure("  1,000 idle containers", "%", LOW, 1.5),),
        method=memory.idle_cpu(1000),
        rounds=2,
        comparable=False,  # a thousand of the reference's take ten minutes to start, and 7 GB
    ),
    Benchmark(
        name="monitor",
        figures=(Figure("monitor of one container, PSS", "MB", LOW, 1.0),),
        method=memory.monitor,
        rounds=3,
    ),
    Benchmark(
        name="recovery",
        figures=(
            Figure("50 running, kill -9: until the API answers", "s", LOW, 1.0),
            Figure("  until every state is right", "s", LOW, 1.2),
        ),
        method=crash.recovery,
        floor=crash.imports,
        rounds=5,
        comparable=False,
    ),
    Benchmark(
        name="ping",
        figures=(Figure("GET /_ping", "µs", LOW, times=1),),
        method=calls.get("/_ping"),
        rounds=15,
    ),
    Benchmark(
        name="inspect",
        figures=(Figure("GET /containers/{id}/json", "µs", LOW, times=1),),
        method=calls.get("/containers/{container}/json"),
        rounds=15,
    ),
    Benchmark(
        name="list",
        figures=(Figure("GET /containers/json, 100 containers", "µs", LOW, times=1),),
        method=calls.listing,
        rounds=15,
    ),
    Benchmark(
        name="list-busy",
        figures=(Figure("  while 4 callers start and stop others, p99", "ms", LOW, 50, 1),),
        method=crowd.list_while_busy,
        rounds=3,
    ),
    Benchmark(
        name="log",
        figures=(
            Figure("writing a log of 100-byte lines", "MB/s", HIGH, 100),
            Figure("  reading it back", "MB/s", HIGH, 50),
        ),
        method=streams.log,
        floor=streams.cat,
        rounds=3,
    ),
    Benchmark(
        name="attach",
        figures=(Figure("attach, round trip of one byte", "µs", LOW, 250, 1),),
        method=streams.attach,
        floor=streams.echo,
        rounds=7,
    ),
    Benchmark(
        name="network",
        figures=(
            Figure("start alone, no network", "ms", LOW, times=3),
            Figure("  what the default network adds", "ms", LOW, 10, 3),
            Figure("  what a network of its own adds", "ms", LOW, 10, 3),
        ),
        method=networks.start_on_each,
        rounds=15,
    ),
    Benchmark(
        name="connect",
        figures=(
            Figure("connecting a running container to a network", "ms", LOW, times=3),
            Figure("  disconnecting it", "ms", LOW, times=1),
        ),
        method=networks.connect,
        rounds=15,
    ),
    Benchmark(
        name="names",
        figures=(
            Figure("name of a neighbour, one question at a time", "µs", LOW, times=1),
            Figure(f"  {networks.WINDOW} at once", "/s", HIGH, times=1),
        ),
        method=networks.names,
        rounds=5,
    ),
    Benchmark(
        name="port",
        figures=(
            Figure("TCP from the host, to the container's address", "MB/s", HIGH),
            Figure("  to the published port", "MB/s", HIGH),
            Figure("  round trip of one byte, to the address", "µs", LOW),
            Figure("  to the published port", "µs", LOW),
        ),
        method=networks.published_port,
        rounds=5,
        comparable=False,
    ),
    Benchmark(
        name="containers",
        figures=tuple(
            Figure(f"start of one more, {count} on the network", "ms", LOW)
            for count in networks.COUNTS
        ),
        method=networks.nth_container(networks.COUNTS),
        rounds=3,
        comparable=False,
    ),
    Benchmark(
        name="ports",
        figures=tuple(
            Figure(f"start with one port more, {count} published", "ms", LOW)
            for count in networks.COUNTS
        ),
        method=networks.nth_port(networks.COUNTS),
        rounds=3,
        comparable=False,
    ),
    Benchmark(
        name="history",
        figures=(Figure(f"events still known of {crash.EVENTS}, after kill -9", "%", HIGH, 100),),
        method=crash.history,
        rounds=1,
        comparable=False,
    ),
    Benchmark(
        name="chaos",
        figures=(Figure("inconsistencies after kill -9 under load", "", LOW, 0),),
        method=crash.inconsistencies,
        rounds=5,
        comparable=False,
    ),
    Benchmark(
        name="events",
        figures=(
            Figure("durable events, one at a time", "/s", HIGH, 1_000),
            Figure("  64 callers at once", "/s", HIGH, 10_000),
        ),
        method=store.append,
        floor=store.insert,
        rounds=5,
        comparable=False,
    ),
    Benchmark(
        name="verify",
        figures=(Figure("append while verify runs, 99th percentile", "ms", LOW, floors=3),),
        method=store.append_during_audit,
        floor=store.append_at_rest,
        rounds=3,
        comparable=False,
    ),
    Benchmark(
        name="version",
        figures=(Figure("version by the engine's own client", "ms", LOW, 70),),
        method=client.own_version,
        floor=client.interpreter,
        rounds=15,
    ),
)
