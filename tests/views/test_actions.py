"""What the actions of a panel take away: tables and arrays with the inspection's own numbers, and code that runs."""

from __future__ import annotations

import ast
import base64
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.errors import CaptureError
from workbench.views import answer, snippets, tables
from workbench.views.arrays import unpack_array
from workbench.views.attention import pack_layer, pack_row
from workbench.views.cache import pack as pack_cache
from workbench.views.lens import pack_around
from workbench.views.next import pack_at


def taken(found: wb.Inspection, panel: str, file: str, token: int = 20, layer: int = 1, head: int = 2) -> bytes:
    request = {"kind": "data", "panel": panel, "file": file, "token": token, "layer": layer, "head": head}
    return base64.b64decode(answer(found, "r", request)["data"])


def frame(data: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(data), keep_default_na=False, na_values=[""])


def run_code(text: str, tmp_path: Path, found: wb.Inspection) -> dict[str, Any]:
    """The names that the program defines."""
    names: dict[str, Any] = {}
    exec(compile(text, "snippet", "exec"), names)
    return names


# --- data


def test_the_row_of_a_token_has_all_its_digits(windowed: wb.Inspection) -> None:
    rows = frame(taken(windowed, "attention", "row"))
    exact = windowed.attention.row(20, 1)[:, :21]  # type: ignore[union-attr]
    reads = rows[rows["side"] == "reads"]
    for place, head in enumerate(windowed.attention.heads):  # type: ignore[union-attr]
        assert np.array_equal(reads[f"head {head}"].to_numpy(np.float32), exact[place])
    assert reads["position"].tolist() == list(range(21))
    assert reads["piece"].tolist()[0] == "<s>"
    readers = rows[rows["side"] == "read by"]["head 2"].to_numpy(np.float32)
    assert np.array_equal(readers, windowed.attention.column(20, 1)[2, 20:])  # type: ignore[union-attr]


def test_the_map_is_that_of_the_chosen_head(windowed: wb.Inspection) -> None:
    values = windowed.attention.map.sel(layer=1)  # type: ignore[union-attr]
    for head, expected in ((2, values.sel(head=2)), (-1, values.mean("head"))):
        cells = frame(taken(windowed, "attention", "map", head=head))
        size = len(expected)
        assert len(cells) == size * (size + 1) // 2
        line = cells[(cells["first query"] == 20) & (cells["first key"] == 3)]
        assert line["share"].to_numpy(np.float32)[0] == pytest.approx(float(expected[20, 3]), rel=1e-6)


def test_other_tables_hold_what_their_panels_show(windowed: wb.Inspection) -> None:
    token = windowed.prompt_length
    grid, shown = frame(taken(windowed, "lens", "grid", token)), pack_around(windowed, token)
    assert sorted(set(grid["position"])) == shown["positions"]
    one = grid[(grid["layer"] == 1) & (grid["position"] == token)].iloc[0]
    exact = windowed.lens.sel(layer=1, position=token)  # type: ignore[union-attr]
    assert one["its rank"] == int(exact.target_rank)
    assert one["entropy"] == pytest.approx(float(exact.entropy), rel=1e-6)
    assert one["guess 1 probability"] == pytest.approx(float(np.exp(exact.top_logprob[0])), rel=1e-6)
    layers = frame(taken(windowed, "cache", "layers"))
    assert layers["bytes"].tolist() == pack_cache(windowed)["bytes"]
    norms = frame(taken(windowed, "cache", "positions"))
    assert norms[norms["layer"] == 0]["key norm"].isna().sum() == pack_cache(windowed)["evicted"][0]
    candidates = frame(taken(windowed, "next", "candidates", token))
    came = candidates[(candidates["side"] == "instead") & candidates["came"]].iloc[0]
    step = windowed.steps.iloc[0]
    assert came["id"] == step.token_id
    assert came["logprob"] == pytest.approx(step.logprob, abs=1e-5)
    strip = frame(taken(windowed, "tokens", "tokens"))
    assert strip["id"].tolist() == windowed.ids.tolist()


def test_arrays_need_no_pickle_and_say_where_they_come_from(windowed: wb.Inspection, sparse: wb.Inspection) -> None:
    for found in (windowed, sparse):
        for panel in tables.TABLES:
            with np.load(io.BytesIO(taken(found, panel, "npz")), allow_pickle=False) as arrays:
                assert arrays["ids"].tolist() == found.ids.tolist()
                assert found.provenance["weights"] in str(arrays["provenance"])
    with np.load(io.BytesIO(taken(windowed, "attention", "npz"))) as arrays:
        assert np.array_equal(arrays["map"], windowed.attention.map.sel(layer=1).values)  # type: ignore[union-attr]
        assert np.array_equal(arrays["reads"], windowed.attention.row(20, 1))  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\tx", "\n", "a,b", 'say "x"', "–", "\u202e", "''"])
def test_no_cell_is_a_formula(text: str) -> None:
    written = tables.csv_text(pd.DataFrame({"n": [-1.5, None], "token": [text, None]}))
    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert rows[1][0] == "-1.5", "numbers stay numbers"
    assert rows[1][1].removeprefix("'") == text.removeprefix("'")
    assert not rows[1][1].startswith(("=", "+", "-", "@", "\t", "\n"))


def test_what_is_not_there_is_said(bare: wb.Inspection, windowed: wb.Inspection) -> None:
    for panel, file in (("attention", "row"), ("lens", "grid"), ("cache", "layers"), ("attention", "npz")):
        with pytest.raises(CaptureError, match="not captured"):
            taken(bare, panel, file)
    for change in ({"panel": "x"}, {"file": "../x"}, {"head": 99}, {"layer": "1"}, {"head": True}, {"token": -1}):
        with pytest.raises(CaptureError):
            answer(windowed, "r", {"kind": "data", "panel": "attention", "file": "row", "token": 3} | change)


# --- code


@pytest.mark.parametrize("rows", ["windowed", "sparse"])
@pytest.mark.parametrize("head", [2, None])
def test_code_of_the_attention_gives_the_numbers_of_the_payload(
    rows: str, head: int | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found: wb.Inspection = request.getfixturevalue(rows)
    token = found.prompt_length
    names = run_code(snippets.code(found, "attention", token, 1, head), tmp_path, found)
    assert names["found"].ids.tolist() == found.ids.tolist(), "the same prompt, sampling and seed"
    packed = unpack_array(pack_row(found, token, 1)["reads"])
    shown = packed.mean(0) if head is None else packed[head]
    assert np.allclose(names["reads"][: token + 1], shown, atol=1e-6)
    maps = (unpack_array(pack_layer(found, 1)["map"]) / 255.0) ** 2
    assert np.abs(names["maps"].values - maps).max() < 4.1e-3, "8 bits of a payload"
    if rows == "windowed":
        readers = unpack_array(pack_row(found, token, 1)["readers"])
        shown = readers.mean(0) if head is None else readers[head]
        assert np.allclose(names["readers"][token:], shown, atol=1e-6)


def test_a_row_that_was_not_kept_comes_from_one_more_forward(
    sparse: wb.Inspection, windowed: wb.Inspection, tmp_path: Path
) -> None:
    assert snippets.row_source(sparse, 20) == "zoom"
    names = run_code(snippets.code(sparse, "attention", 20, 1, 2), tmp_path, sparse)
    assert np.allclose(names["reads"], windowed.attention.row(20, 1)[2, :21], atol=1e-6)  # type: ignore[union-attr]
    last = len(sparse.ids) - 1
    assert snippets.row_source(sparse, last) == "none"
    assert "reads" not in run_code(snippets.code(sparse, "attention", last, 1, 2), tmp_path, sparse)


def test_code_of_the_other_panels(windowed: wb.Inspection, tmp_path: Path) -> None:
    token = windowed.prompt_length + 2
    shown = pack_around(windowed, token)
    grid = run_code(snippets.code(windowed, "lens", token), tmp_path, windowed)["grid"]
    assert grid.position.values.tolist() == shown["positions"]
    assert np.array_equal(grid.target_rank.values[::-1][:, :-1], unpack_array(shown["rank"])[:, :-1])
    payload = pack_cache(windowed)
    cache = run_code(snippets.code(windowed, "cache", token), tmp_path, windowed)
    assert cache["stored"]["bytes"].tolist() == payload["bytes"]
    assert np.allclose(
        cache["norms"].key_norm.values, unpack_array(payload["key_norm"])[:, :-1], atol=1e-5, equal_nan=True
    )
    sides = run_code(snippets.code(windowed, "next", token), tmp_path, windowed)
    for name in ("before", "after"):
        assert [entry[1] for entry in sides[name]] == [entry[1] for entry in pack_at(windowed, token)[name]["top"]]
    said = run_code(snippets.code(windowed, "tokens", token), tmp_path, windowed)["said"]
    assert np.allclose(said.logprob[windowed.prompt_length :], windowed.steps["logprob"], atol=1e-5)


def test_code_of_sampling_switches_and_given_tokens(windowed: wb.Inspection, tmp_path: Path) -> None:
    model = wb.load(str(windowed.provenance["model"])).switched(window=9, theta=5e3)
    said = [
        {"role": "system", "content": "Be 'short' and \"kind\"."},
        {"role": "user", "content": "One\ntwo " * 40},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "\u200b four {token} \\ %s"},
    ]
    run = model.generate(
        said, wb.Sampling(max_new_tokens=9, temperature=1.5, top_p=0.9, seed=7, stop=("\n\n",)),
        wb.Capture(lens=None, attention=wb.AttentionCapture(rows=slice(2, 9, 3), pool=8, layers=[1])),
    )  # fmt: skip
    for _, step in zip(range(4), run, strict=False):
        del step
    run.close()  # stopped on the way: the code goes as far
    found = run.inspection
    again = run_code(snippets.code(found, "attention", 5, 1, 3), tmp_path, found)["found"]
    assert again.ids.tolist() == found.ids.tolist()
    assert again.model["switches"] == {"window": 9, "theta": 5e3}
    assert np.allclose(again.attention.rows.values, found.attention.rows.values, atol=1e-6)  # type: ignore[union-attr]
    only = model.inspect("plain text, only read", wb.Capture(lens=None))
    again = run_code(snippets.code(only, "attention", 5, 1, 3), tmp_path, only)["found"]
    assert again.ids.tolist() == only.ids.tolist()
    assert again.prompt_length == len(only.ids)


def test_a_file_cannot_put_code_into_the_code(windowed: wb.Inspection) -> None:
    record = windowed.record.model_copy(deep=True)
    evil = '"); __import__("os").system("boom")  # '
    record.provenance |= {"model": evil, "revision": evil, "switched_from": None}
    record.provenance["settings"] = {
        "prompt": [{"role": evil, "content": evil}],
        "sampling": {"temperature": evil, "max_new_tokens": {"x": evil}, evil: 1},
        "capture": {"attention": {"rows": f"slice({evil})", "pool": [evil]}, "lens": {evil: evil}, evil: evil},
        "begin": [evil],
    }
    record.model["switches"] = {"window": evil, evil: 1}
    record.model |= {"dtype": evil, "device": evil}
    text = snippets.code(wb.Inspection(record, windowed.arrays), "attention", 5, 1, 3)
    nodes = list(ast.walk(ast.parse(text)))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not used & {"os", "system", "__import__", "eval", "exec", "open"}
    assert {node.names[0].name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)} == {"workbench"}


def test_a_report_can_put_the_same_code_together(sparse: wb.Inspection) -> None:
    packed = snippets.pack(sparse)
    head = packed["ends"]["attention/zoom/one"]
    for mark, value in (("token", 20), ("layer", 1), ("head", 2)):
        head = head.replace(f"@{mark}@", str(value))
    assert f"{packed['begin']}\n{head}" == snippets.code(sparse, "attention", 20, 1, 2)
    assert packed["zoom"] == sparse.prompt_length
