"""Test that configs of any tool are read, and written as Docker writes them."""

import json

import pytest

from engine.domain.ids import ChainId, DiffId, Digest, ImageId
from engine.domain.image.config import (
    Healthcheck,
    ImageConfig,
    ImageLayer,
    chain_id,
    chain_ids,
    contents_of,
    digest_of,
    read_config,
    write_config,
)
from engine.errors import InvalidRequest

DIFF = DiffId("sha256:6b4e02902e261f9f1fae36cef3350d45c312921839f8c52d892b30c05be712ad")
DOCKERS = (
    b'{"architecture":"amd64","comment":"hello","config":{"Hostname":"","Domainname":"","User":"nobody",'
    b'"AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":{"80/tcp":{},"81/udp":{}},'
    b'"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["A=b","C=d e"],"Cmd":["sh"],'
    b'"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000},"Image":"","Volumes":{"/data":{}},'
    b'"WorkingDir":"/a/b","Entrypoint":null,"OnBuild":["RUN x"],"Labels":{"x":"y"}},'
    b'"created":"2026-11-23T19:07:53.569914252Z","docker_version":"20.10.24+dfsg1",'
    b'"history":[{"created":"2026-11-23T19:07:53.569914252Z","comment":"hello"}],"os":"linux",'
    b'"rootfs":{"type":"layers","diff_ids":["sha256:6b4e02902e261f9f1fae36cef3350d45c312921839f8c52d892b30c05be712ad"]}}'
)
CONFIG = ImageConfig(
    user="nobody",
    exposed_ports=("80/tcp", "81/udp"),
    env=("A=b", "C=d e"),
    cmd=("sh",),
    healthcheck=Healthcheck(test=("CMD-SHELL", "true"), interval=5_000_000_000),
    volumes=("/data",),
    working_dir="/a/b",
    on_build=("RUN x",),
    labels={"x": "y"},
)


def layer(diff_id: DiffId) -> ImageLayer:
    blob = Digest(diff_id)
    return ImageLayer(
        diff_id=diff_id, chain_id=ChainId(diff_id), blob=blob, blob_bytes=10, size_bytes=3
    )


def test_dockers_config_is_read_whole() -> None:
    contents = contents_of(DOCKERS, (layer(DIFF),))

    assert contents.id == ImageId(digest_of(DOCKERS))
    assert contents.config == CONFIG
    assert contents.created == "2026-11-23T19:07:53.569914252Z"
    assert contents.history[0].comment == "hello"
    assert contents.size_bytes == 3


def test_an_import_is_written_as_docker_writes_it() -> None:
    written = write_config(
        CONFIG,
        DIFF,
        architecture="amd64",
        created="2026-11-23T19:07:53.569914252Z",
        comment="hello",
    )

    theirs = json.loads(DOCKERS)
    del theirs["docker_version"]
    assert written == json.dumps(theirs, separators=(",", ":")).encode()


def test_an_absent_value_and_null_mean_the_same() -> None:
    sparse = read_config(b'{"rootfs":{"type":"layers"},"config":{"Cmd":null,"Labels":null},"x":1}')

    assert sparse.architecture == ""
    assert contents_of(b'{"rootfs":{"type":"layers"},"config":null}', ()).config == ImageConfig()


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"\xff", b'{"rootfs":{"type":"layers","diff_ids":[1]}}', b'{"rootfs":{"type":"cow"}}'],
)  # fmt: skip
def test_what_is_no_config_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidRequest, match="invalid image config"):
        read_config(document)


def test_chain_ids_are_those_of_the_specification() -> None:
    """Computed by hand with sha256sum, from the formula in OCI config.md."""
    first, second = DiffId("sha256:" + "1" * 64), DiffId("sha256:" + "2" * 64)

    chain = chain_ids((first, second))

    assert chain == (ChainId(first), chain_id(ChainId(first), second))
    assert chain[1] == "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5"
