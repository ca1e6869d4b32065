"""Heads named by what they read: known answers for made-up numbers, and the shipped twin's heads by definition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import workbench as wb
from tests.capture.dense import definitions
from tests.prompts import prompt_of
from tests.reference import eager, eager_states, random_ids
from workbench.capture.pooling import STATISTICS
from workbench.errors import CaptureError
from workbench.inspection.heads import KINDS, head_scores
from workbench.twins.commands import default_assets

REPEATED = "Anna bought the red lamp at the old market. Ben saw it there. " * 3 + "Anna bought the red"


def made_up(block: int, tokens: int, **values: list[list[float]]) -> xr.Dataset:
    """Statistics of one layer, zero where not given; a row for each head, a column for each block."""
    heads, blocks = np.shape(next(iter(values.values())))
    assert blocks == -(-tokens // block)
    shares = {name: np.array(values.pop(name, [[1.0] * blocks])[0]) for name in ("induction_share", "copying_share")}
    numbers = {name: np.array(values.get(name, np.zeros((heads, blocks))))[None] for name in STATISTICS}
    found = {name: (("layer", "head", "query_block"), one) for name, one in numbers.items()}
    found |= {name: (("query_block",), one) for name, one in shares.items()}  # type: ignore[misc]
    coords = {"layer": [4], "head": np.arange(heads), "query_block": np.arange(blocks) * block}
    return xr.Dataset(found, coords=coords, attrs={"block": block, "sink_tokens": 2, "recent": 3, "reach": 9})


def test_a_score_is_a_mean_over_queries_not_over_blocks() -> None:
    """10 tokens in blocks of 4: the last block has two queries."""
    table = head_scores(made_up(4, 10, previous=[[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]]), 10)
    assert table.loc[(4, 0), "previous"] == pytest.approx((4 * 1.0 + 4 * 0.5) / 10)
    assert table.loc[(4, 1), "previous"] == pytest.approx(2 / 10)
    assert table["name"].tolist() == ["previous", ""]


def test_only_queries_with_a_target_count() -> None:
    """Half of the first block's queries have an induction target, none of the second's: mass 0.3 a query is 0.6."""
    values = made_up(4, 8, induction=[[0.3, 0.0]], copying=[[0.0, 0.0]], induction_share=[[0.5, 0.0]], copying_share=[[0.0, 0.0]])  # noqa: E501  # fmt: skip
    table = head_scores(values, 8)
    assert table.loc[(4, 0), "induction"] == pytest.approx(0.6)
    assert np.isnan(table.loc[(4, 0), "retrieval"])  # nothing to retrieve
    assert table.loc[(4, 0), "name"] == "induction"
    assert head_scores(values, 8, least=0.7).loc[(4, 0), "name"] == ""


def test_the_largest_score_gives_the_name() -> None:
    one = [[0.9], [0.1], [0.2], [0.1], [0.1]]
    values = {"induction": one, "copying": np.roll(one, 1, 0).tolist(), "previous": np.roll(one, 2, 0).tolist()}
    values |= {"sink": np.roll(one, 3, 0).tolist(), "recent": np.roll(one, 4, 0).tolist()}
    table = head_scores(made_up(40, 40, **values), 40)
    assert table["name"].tolist() == list(KINDS)


@pytest.mark.parametrize(("tokens", "silent"), [(7, ["sink", "local"]), (8, ["local"]), (11, ["local"]), (12, [])])
def test_a_text_hardly_longer_than_the_sink_says_nothing_of_it(tokens: int, silent: list[str]) -> None:
    """Four times the first or last keys counted (here 2 and 3) is what it takes."""
    table = head_scores(made_up(50, tokens, sink=[[0.99]], recent=[[0.98]]), tokens)
    assert [kind for kind in KINDS if np.isnan(table.loc[(4, 0), kind])] == silent
    assert table.loc[(4, 0), "name"] == ("" if len(silent) == 2 else "sink")


@pytest.fixture(scope="module")
def twin() -> wb.Model:
    return wb.load("twin-v0.2")


def test_the_twin_has_its_heads(twin: wb.Model) -> None:
    """Previous-token and induction heads, found on a text that repeats itself, and the scores of all heads as eager
    attention gives them, by definition."""
    found = twin.inspect(REPEATED, wb.Capture(wb.AttentionCapture(pool=9), lens=None))
    ids = found.ids.tolist()
    truth = eager_states(eager(default_assets() / "v0.2"), ids)["attention"].double()
    table = found.attention.named_heads()
    means: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    names = dict(zip(KINDS, ("induction", "copying", "previous", "sink", "recent"), strict=True))
    repeated = [i for i, token in enumerate(ids) if token in ids[:i]]
    coming = [i for i in range(len(ids) - 1) if ids[i + 1] in ids[:i]]
    for layer in truth:
        figures = definitions(layer, ids, sink=4, recent=32, reach=1024)
        for kind, name in names.items():
            among = {"induction": repeated, "retrieval": coming}.get(kind, range(len(ids)))
            means[kind].append((figures[name].sum(-1) / len(among)).numpy())
    for kind in KINDS:
        expected = np.stack(means[kind]).reshape(-1)
        if kind == "local" and len(ids) < 4 * 32:
            expected = np.full_like(expected, np.nan)
        np.testing.assert_allclose(table[kind].to_numpy(), expected, atol=2e-4, err_msg=kind)
    for kind, least in (("previous", 0.6), ("induction", 0.4)):
        assert (table["name"] == kind).any(), kind
        best = np.stack(means[kind])
        layer, head = np.unravel_index(int(best.argmax()), best.shape)
        assert best.max() > least
        assert table.loc[(int(layer), int(head)), "name"] == kind
        assert table[kind].idxmax() == (layer, head)


def test_a_short_text_names_no_sink(twin: wb.Model) -> None:
    table = twin.inspect("Hi", wb.Capture(lens=None)).attention.named_heads()
    assert table["sink"].isna().all() and table["local"].isna().all()
    assert not set(table["name"]) & {"sink", "local"}


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint(layers=2, heads=4, kv_heads=2)


def test_heavy_hitters_are_the_largest_column_sums(tiny: Path) -> None:
    model, ids = wb.load(str(tiny)), random_ids(60, seed=3)
    found = model.inspect(prompt_of(model, ids), wb.Capture(wb.AttentionCapture(pool=7), lens=None)).attention
    received = eager_states(eager(tiny), ids)["attention"].double().sum(2).numpy()  # (layer, head, key)
    np.testing.assert_allclose(found.received.values, received, atol=1e-3)
    heavy = found.heavy_hitters(5)
    assert heavy.received.sizes == {"layer": 2, "head": 4, "rank": 5}
    np.testing.assert_allclose(heavy.received.values, -np.sort(-received, -1)[..., :5], atol=1e-3)
    picked = np.take_along_axis(received, heavy.position.values, -1)
    np.testing.assert_allclose(picked, heavy.received.values, atol=1e-3)
    assert all(len(set(one)) == 5 for one in heavy.position.values.reshape(-1, 5).tolist())
    assert found.heavy_hitters(1000).sizes["rank"] == 60


def test_without_statistics_there_are_no_names(tiny: Path) -> None:
    model = wb.load(str(tiny))
    found = model.inspect("Hello there", wb.Capture(wb.AttentionCapture(statistics=False), lens=None)).attention
    assert found.received is None
    assert found.statistics is None
    for ask in (found.named_heads, found.heavy_hitters):
        with pytest.raises(CaptureError, match="statistics=True"):
            ask()


def test_chosen_heads_keep_their_numbers(tiny: Path) -> None:
    model, ids = wb.load(str(tiny)), random_ids(40, seed=1)
    some = wb.Capture(wb.AttentionCapture(layers=[1], heads=[0, 3]), lens=None)
    table, whole = (
        model.inspect(prompt_of(model, ids), one).attention.named_heads(0.1) for one in (some, wb.Capture())
    )
    assert table.index.tolist() == [(1, 0), (1, 3)]
    torch.testing.assert_close(
        torch.tensor(table[list(KINDS)].to_numpy()), torch.tensor(whole.loc[table.index, list(KINDS)].to_numpy()),
        equal_nan=True, atol=1e-5, rtol=1e-5,
    )  # fmt: skip
