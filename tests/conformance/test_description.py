"""Test that the description that a daemon serves is OpenAPI 3.1, and names the headers that answers
have.
"""

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

DESCRIBED_BY_HTTP = {"content-length", "content-type", "date", "transfer-encoding"}


def test_what_is_served_is_a_valid_openapi_3_1_document(engine: DaemonUnderTest) -> None:
    served = engine.api.request("GET", "/openapi.json").json

    assert served["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(served).iter_errors()) == []


def test_answers_have_the_headers_that_the_description_names(engine: DaemonUnderTest) -> None:
    box = engine.api.run("described", "sleep", "1000")
    paths = engine.api.request("GET", "/openapi.json").json["paths"]
    for method, template, target in (
        ("GET", "/_ping", "/_ping"),
        ("HEAD", "/_ping", "/_ping"),
        ("GET", "/containers/{name}/json", f"/containers/{box}/json"),
        ("GET", "/containers/{name}/json", "/containers/nobody/json"),
        ("HEAD", "/containers/{name}/archive", f"/containers/{box}/archive?path=/etc"),
        ("GET", "/containers/{name}/archive", f"/containers/{box}/archive?path=/etc/passwd"),
    ):
        reply = engine.api.request(method, target)
        described = paths[template][method.lower()]["responses"][str(reply.status)]["headers"]
        found = reply.headers - DESCRIBED_BY_HTTP
        assert found == {name.lower() for name in described}, (method, target)
    engine.api.request("DELETE", f"/containers/{box}?force=1")
