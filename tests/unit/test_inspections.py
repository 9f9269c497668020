"""Test that an answer to inspect is cached until anything that it shows has changed."""

from dataclasses import replace as replaced

import msgspec
import pytest
from msgspec.structs import replace

from engine.api.containers import inspections
from engine.api.containers.inspections import Inspections
from engine.domain.ids import ContainerId, ExecId
from tests.unit.test_api_shapes import CONTEXT, IMAGE, IMAGE_ID, RUNNING


def test_the_same_container_is_described_once() -> None:
    described = Inspections()

    assert described.answer(RUNNING, CONTEXT, ()) is described.answer(RUNNING, CONTEXT, ())


def test_what_has_changed_is_reported_again() -> None:
    described = Inspections()
    before = described.answer(RUNNING, CONTEXT, ())
    renamed = described.answer(replace(RUNNING, name="other"), CONTEXT, ())
    with_exec = described.answer(RUNNING, CONTEXT, (ExecId("e" * 64),))
    without_image = described.answer(RUNNING, replaced(CONTEXT, images={}), ())

    assert msgspec.json.decode(renamed.body)["Name"] == "/other"
    assert msgspec.json.decode(with_exec.body)["ExecIDs"] == ["e" * 64]
    assert msgspec.json.decode(without_image.body)["GraphDriver"]["Data"]["LowerDir"] == ""
    assert described.answer(RUNNING, replaced(CONTEXT, images={IMAGE_ID: IMAGE}), ()) == before


def test_few_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    described = Inspections()
    monkeypatch.setattr(inspections, "KEPT_MAX", 2)
    crowd = [replace(RUNNING, id=ContainerId(f"{number:064}")) for number in range(3)]
    answers = [described.answer(each, CONTEXT, ()) for each in crowd]

    assert described.answer(crowd[2], CONTEXT, ()) is answers[2]
    assert described.answer(crowd[0], CONTEXT, ()) is not answers[0]
