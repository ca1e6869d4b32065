"""What the Facts, Claims and Memory sections of Compare & facts answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from apps.studio.claim_events import ClaimEvents
from apps.studio.fact_events import MOST_CHARACTERS, FactEvents
from apps.studio.memory_events import MemoryEvents
from apps.studio.studio import Studio
from tests.facts.test_planted import UP, changed, nudged
from workbench.errors import WorkbenchError
from workbench.models.registry import assets_folder

TAB = "t" * 24


@pytest.fixture
def studio(names: list[str]) -> Studio:
    return Studio.of(names)


def ended(studio: Studio, started: dict[str, Any]) -> Any:
    for _ in range(6000):
        status = studio.jobs.status(TAB, started["job"])
        if status["state"] in ("done", "failed", "stopped"):
            assert status["state"] == "done", status
            json.dumps(status, allow_nan=False)
            return status["result"]
        time.sleep(0.02)
    raise AssertionError("it never ended")


def fact(card: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in card["facts"] if one["fact"] == name)


def test_cards_are_those_of_the_models(studio: Studio, names: list[str]) -> None:
    found = FactEvents(studio).fact_cards({})
    assert [card["model"] for card in found["cards"]] == names
    assert [fact(card, "window")["loaded"] for card in found["cards"]] == ["24", "none"]
    assert [card["conflicts"] for card in found["cards"]] == [[], []]
    assert set(names) < set(found["others"]) and found["texts"] == 8
    json.dumps(found, allow_nan=False)


def test_a_probe_is_that_of_the_library(studio: Studio, names: list[str]) -> None:
    events = FactEvents(studio)
    texts = ["One text to read. " * 6, "Another text, read as well. " * 5]
    asked = {"tab": TAB, "model": names[0], "text": "\r\n---\r\n".join(texts)}
    found = ended(studio, events.fact_probe(asked))
    from workbench.facts import probe_theta

    expected = probe_theta(wb.load(names[0]), [text.strip() for text in texts])
    theta, window = found["probes"]
    assert [row["loss"] for row in theta["rows"]] == pytest.approx(expected.mean.tolist(), abs=1e-6)
    assert (theta["switch"], theta["stated"], window["switch"]) == ("theta", "1e4", "window")
    assert fact(found["card"], "theta")["probed"] == theta["said"]


def test_an_altered_tensor_is_named(tmp_path: Path) -> None:
    folder = str(changed(tmp_path / "bad", **{UP: nudged}))
    studio = Studio.of([folder, "twin-v0.2"])
    events = FactEvents(studio)
    for against in ("", "twin-v0.2"):
        found = ended(studio, events.fact_tensors({"tab": TAB, "model": folder, "against": against}))
        assert found["same"] is False and UP in found["said"]
        assert [row["tensor"] for row in found["rows"] if row["state"] == "altered"] == [UP]
        assert found["card"]["conflicts"] == ["tensors"]
    found = ended(studio, events.fact_tensors({"tab": TAB, "model": "twin-v0.2", "against": ""}))
    assert found["same"] is True and found["oddities"] == []


def test_what_facts_refuse(studio: Studio, names: list[str]) -> None:
    events = FactEvents(studio)
    for call, request in (
        (events.fact_probe, {"model": "/etc"}),
        (events.fact_probe, {"model": names[0], "text": "a" * (MOST_CHARACTERS + 1)}),
        (events.fact_tensors, {"model": names[0], "against": "/etc"}),
    ):
        with pytest.raises(WorkbenchError):
            call({"tab": TAB, **request})


def test_claims_come_with_the_published_scores() -> None:
    found = ClaimEvents().claims({})
    assert len(found["claims"]) == 17 and found["scores_note"] == "published, not measured here"
    assert {"measure": "MT-Bench", "v01": "6.84 ± 0.07", "v02": "7.6"}.items() <= found["scores"][0].items()


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": "v0.2", "tokens": 8192, "format": "4bit", "kv_bits": 8, "capture": False} | changes


def test_a_plan_is_that_of_the_library(studio: Studio) -> None:
    events = MemoryEvents(studio)
    assert {"v0.1", "v0.2", *studio.shelf.names} < {name for name, _ in events.memory_choices({})["models"]}
    for capture in (False, True):
        found = events.memory_plan(asked(capture=capture))
        plan = wb.memory("v0.2", 8192, "4bit", 8, wb.Capture() if capture else None)
        assert found["total"][0] == plan.total == sum(size for _, size, _ in found["parts"])
        assert found["by_length"][3]["kv_cache"] == plan.kv_cache
        assert sum(count for _, count, _ in found["parameters"]) == 7_241_732_096
        json.dumps(found, allow_nan=False)
        scope: dict[str, Any] = {}
        exec(found["code"], scope)
        assert scope["plan"] == plan
    assert events.memory_plan(asked(model="v0.1"))["reach"] == 131_041


def test_a_config_of_ones_own(studio: Studio) -> None:
    events = MemoryEvents(studio)
    text = (assets_folder() / "twins" / "v0.1" / "config.json").read_text()
    found = events.memory_plan(asked(model="own", config=text, tokens=None))
    assert found["total"][0] == wb.memory("twin-v0.1", None, "4bit", 8).total
    raw = json.loads(text)
    bad: list[tuple[str, str]] = [
        ("", "No config"), ("{", "no JSON"), ("[1]", "JSON list"), ("[" * 90_000, "no JSON"),
        (" " * 100_001, "No config"),
        (json.dumps(raw | {"hidden_size": "wide"}), "hidden_size"),
        (json.dumps(raw | {"model_type": "llama"}), "llama"),
        (json.dumps({k: v for k, v in raw.items() if k != "vocab_size"}), "vocab_size in the config is absent"),
        (json.dumps(raw | {"sliding_window": -3}), "sliding_window"), ("x" * 100_001, "characters"),
    ]  # fmt: skip
    for config, said in bad:
        with pytest.raises(WorkbenchError, match=said):
            events.memory_plan(asked(model="own", config=config))


@pytest.mark.parametrize(
    "changes", [{"model": "/etc"}, {"format": 3}, {"format": "int3"}, {"kv_bits": 7}, {"kv_bits": True}, {"tokens": 0},
                {"tokens": 40_000}, {"tokens": "many"}],
)  # fmt: skip
def test_what_memory_refuses(studio: Studio, changes: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError):
        MemoryEvents(studio).memory_plan(asked(**changes))


def test_one_model_is_enough(tiny_checkpoint: Callable[..., Path]) -> None:
    studio = Studio.of([str(tiny_checkpoint(window=24))])
    assert len(FactEvents(studio).fact_cards({})["cards"]) == 1
