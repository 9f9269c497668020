"""Serve the whole API on a simulated machine: a real socket, a real log, real decisions, without
touching the kernel.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import trio

from engine.api.application import application
from engine.daemon.log_state import LogState
from engine.domain.container.resources import Machine
from engine.domain.network.addresses import IPV4_SOURCES
from engine.queries.events import Events
from engine.queries.system import Settings, System
from engine.queries.usage import Statistics
from engine.queries.waiting import Changes
from engine.service.commits import Commits
from engine.service.containers.streams import ContainerStreams
from engine.service.containers.updates import Updates
from engine.service.containers.verbs import Containers
from engine.service.engine import Service
from engine.service.execs import Execs
from engine.service.files import Files
from engine.service.images import Images
from engine.service.prunes import Prunes
from engine.service.registries import Registries
from engine.store.ledger import Ledger
from tests.api.minimal_server import Response, Served, get, post, served
from tests.conformance.answer_log import AnswerLog
from tests.fakes.files import FakeFiles
from tests.fakes.host import SimulatedHost
from tests.fakes.images import FakeImages
from tests.fakes.registries import FakeRegistries
from tests.fakes.streams import SimulatedStreams
from tests.fakes.usage import SimulatedUsage
from tests.harness.recording import Recorder
from tests.harness.tars import tar_of
from tests.model.simulated_daemon import Daemon, World, fresh_world
from tests.model.simulated_machine import CrashPoint

BUSYBOX: Final = {"bin/sh": b"#!x"}
"""The files of the image that is there."""


@dataclass
class SimulatedEngine:
    """An engine whose API is served, with parts of it for tests to look into."""

    server: Served
    world: World
    streams: SimulatedStreams
    service: Service
    files: FakeFiles
    ledger: Ledger

    async def get(self, path: str) -> Response:
        return await self.server.ask(get(path))

    async def post(self, path: str, body: Any = None) -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        headers = () if body is None else ("Content-Type: application/json",)
        return await self.server.ask(post(path, data, *headers), "POST")

    async def delete(self, path: str) -> Response:
        return await self.server.ask(get(path).replace(b"GET", b"DELETE", 1), "DELETE")

    async def create(self, name: str, **body: Any) -> str:
        response = await self.post(f"/containers/create?name={name}", {"Image": "busybox", **body})
        assert response.status == 201, response
        identity: str = json_of(response)["Id"]
        return identity

    async def import_image(self, files: Mapping[str, bytes], name: str = "") -> str:
        """Import an image that holds files, and runs ``sleep``; its ID."""
        changes = quote('CMD ["sleep"]')
        target = f"/images/create?fromSrc=-&repo={quote(name)}&changes={changes}"
        response = await self.server.ask(post(target, tar_of(files)), "POST")
        assert response.status == 200, response
        identity: str = json_of(response)["status"]
        return identity


def json_of(response: Response) -> Any:
    """Return a response's JSON."""
    return json.loads(response.body)


@asynccontextmanager
async def simulated_engine(directory: Path) -> AsyncIterator[SimulatedEngine]:
    """Serve the API of an engine with the image ``busybox`` for the block."""
    world = fresh_world(directory / "data")
    async with trio.open_nursery() as world.machine.nursery, world.daemon(CrashPoint()) as daemon:
        streams = daemon.connections
        service = _service(world, daemon, streams, files := FakeFiles(world.machine))
        answer_log = AnswerLog(directory / "answers")
        recorded = Recorder(answer_log.path).around(application(service))
        async with served(recorded, directory) as server:
            engine = SimulatedEngine(server, world, streams, service, files, daemon.ledger)
            await engine.import_image(BUSYBOX, "busybox")
            yield engine
        answer_log.close()
        answer_log.assert_all_conform()
        world.machine.nursery.cancel_scope.cancel()


def _service(
    world: World, daemon: Daemon, streams: SimulatedStreams, container_files: FakeFiles
) -> Service:
    changes, host = Changes(daemon.ledger), SimulatedHost()
    settings = Settings(
        data_root=world.directory,
        exec_root=world.directory / "exec",
        cgroup_parent="x",
        cgroup_version="2",
        machine=Machine(cpus="0-1"),
        subnet_sources=IPV4_SOURCES,
    )
    supervisor = daemon.supervisor
    containers = Containers(
        daemon.ledger,
        supervisor.starts,
        supervisor.health,
        streams,
        host,
        changes,
        settings.machine,
    )
    content = FakeImages(LogState(daemon.ledger).images_needed)
    files, images = Files(daemon.ledger, container_files, changes), Images(daemon.ledger, content)
    return Service(
        commits=Commits(daemon.ledger, content, container_files, changes),
        containers=containers,
        events=Events(daemon.ledger),
        execs=Execs(daemon.ledger, daemon.supervisor, streams, changes),
        files=files,
        images=images,
        networks=daemon.networks,
        history=daemon.history,
        prunes=Prunes(daemon.ledger, containers, files, images, daemon.networks),
        registries=Registries(daemon.ledger, FakeRegistries()),
        streams=ContainerStreams(daemon.ledger, streams, host, changes),
        system=System(daemon.ledger, settings, host, lambda: 0),
        statistics=Statistics(containers.get, SimulatedUsage(world.machine), changes),
        updates=Updates(daemon.ledger, changes, settings.machine),
    )
