"""The identity card, and the probes that find theta and window from loss."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from apps.studio.examples import examples
from tests.prompts import prompt_of
from tests.reference import eager, random_ids
from workbench.errors import PromptError
from workbench.facts import Probe, identity, probe_theta, probe_window
from workbench.models.registry import assets_folder

WORDS = " ".join(m["content"] for one in examples() for m in one.messages)
TEXTS = [" ".join([WORDS] * 3)[i * 700 :][:1500] for i in range(4)]


def twin_with(folder: Path, version: str, **changes: object) -> Path:
    """A copy of a twin's files with fields of its config changed."""
    shutil.copytree(assets_folder() / "twins" / version, folder)
    config = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        if name == "theta":
            config["rope_parameters"]["rope_theta"] = value
        else:
            config[name] = value
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", ["twin-v0.1", "twin-v0.2"])
def test_the_card_of_a_twin_has_no_conflict(name: str) -> None:
    model = wb.load(name)
    card = identity(model)
    assert card.conflicts == ()
    assert (card["window"].stated, card["window"].loaded) == (("256",) * 2 if name.endswith("1") else ("null", "none"))
    assert card["parameters"].stated.startswith(card["parameters"].loaded)
    assert card["grouped-query attention"].agrees and card["byte fallback"].loaded == "256 byte pieces"
    assert card["BOS rule"].loaded.startswith("once") and card["weights"].agrees
    assert card["tensors"].loaded == "all 56 tensors as in the register beside the weights" and card["tensors"].agrees
    assert "none stored" in card["chat template"].stated and "<s> 1, </s> 2" in card["special tokens"].loaded
    assert set(card.table().columns) == {"stated", "loaded", "probed", "agrees"}


def test_a_switched_model_is_named() -> None:
    card = identity(wb.load("twin-v0.1").switched(window=None))
    assert {fact.name for fact in card.conflicts} == {"window", "as published"}


def test_an_absent_window_is_told_from_null(tmp_path: Path) -> None:
    folder = twin_with(tmp_path / "absent", "v0.2")
    config = json.loads((folder / "config.json").read_text())
    del config["sliding_window"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="absent, not null"):
        card = identity(wb.load(str(folder)), against="twin-v0.2")
    assert card["window"].stated == "absent, not null; transformers puts 4096" and card["window"].loaded == "4096"
    assert [fact.name for fact in card.conflicts] == ["window", "fields of twin-v0.2"]
    assert card.contrast is not None
    assert card.contrast.rows == (("sliding_window", "absent", "null"),)


def test_a_wrong_theta_in_the_config_is_found_by_its_loss(tmp_path: Path) -> None:
    right, wrong = wb.load("twin-v0.2"), wb.load(str(twin_with(tmp_path / "t", "v0.2", theta=1e4)))
    fine, bad = probe_theta(right, TEXTS, (0.01, 1.0)), probe_theta(wrong, TEXTS, (1.0, 100.0))
    assert fine.best == 1e6 and fine.agrees is not False
    assert bad.agrees is False and bad.best > 1e4
    assert "theta" in {fact.name for fact in identity(wrong, probes=[bad]).conflicts}
    assert "may state the wrong one" in str(bad)


def test_a_missing_window_is_found_by_the_loss_beyond_it(tmp_path: Path) -> None:
    """v0.1's twin was trained with a window of 256: without one, texts beyond its training go wrong."""
    texts = [" ".join([WORDS] * 4)[i * 500 :][:5200] for i in range(4)]
    right, wrong = wb.load("twin-v0.1"), wb.load(str(twin_with(tmp_path / "w", "v0.1", sliding_window=None)))
    fine, bad = probe_window(right, texts, [256]), probe_window(wrong, texts, [256])
    assert fine.best == 256
    assert bad.best == 256 and bad.agrees is False
    assert fine.mean.tolist() == bad.mean.tolist()


def test_more_in_sight_says_nothing_against_a_window() -> None:
    """A wider window that helps is no sign of a wrong config; a narrower one is."""
    losses = np.array([[3.0, 3.0], [2.0, 2.1], [1.0, 1.0]])
    wider = Probe("window", (4, 9, None), 9, losses, np.array([5, 5]))
    assert wider.agrees is None and wider.best is None and "more in sight helps" in str(wider)
    narrower = Probe("window", (4, 9, None), 9, np.array([[1.5, 1.6], [2.0, 2.1], [1.0, 1.0]]), np.array([5, 5]))
    assert narrower.agrees is False and "may state the wrong one" in str(narrower)


def test_losses_are_those_of_the_model(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint(window=9)
    model, ids = wb.load(str(folder)), random_ids(40, 2)
    found = probe_window(model, [prompt_of(model, ids)], [3])
    assert found.values == (3, 9, None)
    import torch

    with torch.no_grad():
        logits = eager(folder)(torch.tensor([ids])).logits[0].float()
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    np.testing.assert_allclose(found.mean[1], loss, atol=1e-5)


def test_a_probe_that_cannot_tell_says_so() -> None:
    flat = Probe("window", (4, None), None, np.array([[2.0, 3.0], [2.0, 3.0]]), np.array([5, 5]))
    assert flat.agrees is None and flat.best is None and "do not tell" in str(flat)
    tied = Probe("window", (4, 9, None), 9, np.array([[3.0], [2.0], [2.0]]), np.array([5]))
    assert tied.agrees is None and "do not tell it from none" in str(tied)
    noisy = Probe("theta", (1.0, 2.0), 1.0, np.array([[2.0, 3.0], [2.5, 2.4]]), np.array([5, 5]))
    assert noisy.agrees is None and noisy.best == 2.0
    assert list(noisy.table().columns) == ["loss", "difference"]


def test_a_probe_stops_and_needs_a_text() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(PromptError, match="stopped"):
        probe_theta(wb.load("twin-v0.1"), ["Hello there."], stop=stop)
    with pytest.raises(PromptError, match="no text"):
        probe_window(wb.load("twin-v0.1"), [])
