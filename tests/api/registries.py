"""Run registries on loopback: Debian's own with a list of passwords, and one that uses a token
service.
"""

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

from tests.harness.conditions import eventually

USER: Final = "sailor"
PASSWORD: Final = "ahoy-there"
_CONFIGURATION: Final = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}/store}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: harbour, path: {directory}/passwords}}}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def registry(directory: Path) -> Iterator[int]:
    """Run ``docker-registry``, the Distribution project's; yield its port."""
    program = shutil.which("docker-registry")
    assert program is not None, "the package docker-registry is missing: config/run setup"
    passwords = ["htpasswd", "-Bbn", USER, PASSWORD]
    (directory / "passwords").write_bytes(subprocess.check_output(passwords))
    port = free_port()
    configuration = directory / "config.yml"
    configuration.write_text(_CONFIGURATION.format(directory=directory, port=port))
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", configuration], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        eventually(lambda: answers(port), "the registry answers")
        yield port
    finally:
        process.kill()
        process.wait()


class TokenRegistry(ThreadingHTTPServer):
    """A registry and its token service; ``realm`` may name another."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.realm = f"http://127.0.0.1:{self.server_port}/token?x=1"
        self.refusal: Any = {"details": "incorrect username or password"}
        self.token = "token-1"
        self.asked: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients, such as those that speak TLS."""


class _Handler(BaseHTTPRequestHandler):
    server: TokenRegistry

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            return self._give_token(authorization == f"Basic {pair}")
        if authorization == "Bearer token-1":
            return self._answer(200, {})
        challenge = f'Bearer realm="{self.server.realm}",service="harbour"'
        return self._answer(401, {"errors": []}, ("WWW-Authenticate", challenge))

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"]))
        self._give_token(
            b"refresh_token=identity-1" in form and b"grant_type=refresh_token" in form
        )

    def _give_token(self, granted: bool) -> None:
        if granted:
            return self._answer(200, {"token": self.server.token, "refresh_token": "identity-1"})
        return self._answer(401, self.server.refusal)

    def _answer(self, status: int, value: Any, *headers: tuple[str, str]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def token_registry() -> Iterator[TokenRegistry]:
    """Serve one for the block."""
    server = TokenRegistry()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
