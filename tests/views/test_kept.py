"""A run under a cache policy in the views: which tokens each head kept, rows of attention, code that runs it again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.views import attention, cache, snippets
from workbench.views.difference import pack as pack_pair
from workbench.views.source import answer

SAID = "received=20"


@pytest.fixture(scope="module")
def found(tiny_checkpoint: Callable[..., Path]) -> wb.Inspection:
    model = wb.load(str(tiny_checkpoint(kv_heads=2)))
    wanted = wb.Capture(wb.AttentionCapture(rows="all"))
    run = model.generate(
        [{"role": "user", "content": "Say a < b again and again & again, " * 3}], wb.Sampling(max_new_tokens=6), wanted,
        cache=SAID,
    )  # fmt: skip
    list(run)
    return run.inspection


def unpacked(kept: dict[str, Any]) -> np.ndarray:
    """(layer, head, token) of what the page gets."""
    rows, width = kept["bits"]["shape"]
    bits = np.frombuffer(base64.b64decode(kept["bits"]["data"]), np.uint8).reshape(rows, width)
    return np.unpackbits(bits, axis=1)[:, : kept["length"]].reshape(kept["layers"], kept["heads"], -1).astype(bool)


def test_the_page_gets_what_each_head_stores(found: wb.Inspection) -> None:
    packed = cache.pack(found, "r")
    assert packed["policy"] == SAID
    stored = unpacked(packed["kept"])
    assert (stored == found.kv_cache["kept"].values).all()
    assert (stored.sum(-1) == 20 + 5).all(), "the budget, and the tokens fed since"
    assert (stored[:, 0] != stored[:, 1]).any(), "heads differ"
    assert packed["physical"] == [25, 25]
    assert cache.pack(found, "r")["kept"]["length"] == len(found.ids) - 1


def test_every_token_has_its_exact_row_and_readers(found: wb.Inspection) -> None:
    token = len(found.ids) - 3
    row = attention.pack_row(found, token, 1)
    assert row["note"] == ""
    reads = np.frombuffer(base64.b64decode(row["reads"]["data"]), np.float32).reshape(row["reads"]["shape"])
    dropped = ~found.kv_cache["kept"].values[1].repeat(2, 0)[:, : token + 1]
    assert reads[dropped].max() == 0
    assert np.allclose(reads.sum(-1), 1, atol=1e-5)
    assert answer(found, "r", {"kind": "row", "token": 3, "layer": 0})["readers"] is not None


def test_the_code_reads_under_the_same_policy(found: wb.Inspection) -> None:
    names: dict[str, Any] = {}
    exec(compile(snippets.code(found, "cache", 3), "snippet", "exec"), names)
    again = names["found"]
    assert again.ids.tolist() == found.ids.tolist()
    assert (names["kept"].values == found.kv_cache["kept"].values).all()
    assert snippets.pack(found)["zoom"] == 0, "one more forward would read what was dropped"


def test_two_policies_side_by_side(found: wb.Inspection) -> None:
    packed = pack_pair(wb.Comparison.of(found, found), "a", "b")
    assert unpacked(packed["cache"][0]["kept"]).sum() == 2 * 2 * 25
