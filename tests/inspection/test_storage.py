"""An inspection survives a round trip; a damaged or hostile file is refused in one sentence, whatever is in it."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import workbench as wb
from workbench.capture.attention import STATISTICS
from workbench.errors import CaptureError, FileFormatError
from workbench.inspection.inspection import Inspection
from workbench.inspection.storage import KEY


@pytest.fixture(scope="module")
def found(tiny_checkpoint: Callable[..., Path]) -> Inspection:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))
    capture = wb.Capture(
        wb.AttentionCapture(states=True), wb.LensCapture(positions="all", blocks=6), attribution=wb.AttributionCapture()
    )
    run = model.generate([{"role": "user", "content": "Hello <b> ☃ there"}], wb.Sampling(max_new_tokens=5), capture)
    list(run)
    return run.inspection


@pytest.fixture(scope="module")
def saved(found: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found.save(tmp_path_factory.mktemp("saved") / "one.inspection")


def test_round_trip(found: Inspection, saved: Path) -> None:
    again = wb.open(saved)
    assert again.record == found.record
    assert set(again.arrays) == set(found.arrays)
    for name, values in found.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)
        assert again.arrays[name].dtype == values.dtype
    assert again.attention.map.equals(found.attention.map)
    assert again.lens.equals(found.lens)
    assert again.kv_cache.equals(found.kv_cache)
    assert again.lens_blocks.equals(found.lens_blocks)
    assert again.attribution.equals(found.attribution)
    np.testing.assert_array_equal(again.attention.row(3, 1), found.attention.row(3, 1))
    assert repr(again) == repr(found)
    assert list(saved.parent.iterdir()) == [saved]


def test_faces(found: Inspection) -> None:
    assert found.provenance["settings"]["sampling"]["max_new_tokens"] == 5
    assert found.provenance["weights"]
    assert found.steps["position"].tolist() == list(range(found.prompt_length, len(found.ids)))
    assert found.text[slice(*found.spans[4])] != ""
    assert found.text.endswith(found.reply)
    bundle = found._repr_mimebundle_()
    assert "<b>" not in bundle["text/html"]
    assert found.piece(int(found.lens.top_id[0, 0, 0])) not in ("", "<-1>")
    assert found.attention.rows.sizes["query"] == len(found.steps)
    with pytest.raises(CaptureError, match="Layer 7"):
        found.attention.row(1, 7)
    with pytest.raises(CaptureError, match="Position 999"):
        found.attention.row(999, 0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_or_harmless(saved: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        header = struct.unpack("<Q", content[:8])[0]
        for _ in range(data.draw(st.integers(1, 5))):
            content[data.draw(st.integers(0, header + 16))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.inspection"
    path.write_bytes(content)
    try:
        opened = wb.open(path)
    except FileFormatError as error:
        refused = str(error)
        assert "\n" not in refused
    else:  # a changed letter of some text: all that can be asked still answers
        assert len(repr(opened)) < 10**6
        opened._repr_mimebundle_()


def rewritten(saved: Path, path: Path, change: Callable[[dict, dict], None]) -> Path:
    """A copy with arrays and record changed."""
    with saved.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    record, arrays = json.loads(header["__metadata__"][KEY]), load_file(saved)
    change(record, arrays)
    save_file(arrays, path, metadata={KEY: json.dumps(record)})
    return path


HOSTILE: dict[str, Callable[[dict, dict], object]] = {
    "another version": lambda r, a: r.update(schema_version=99),
    "extra field": lambda r, a: r.update(surprise=1),
    "missing field": lambda r, a: r.pop("tokens"),
    "unknown array": lambda r, a: a.update(evil=np.zeros(3)),
    "tokens too few": lambda r, a: r["tokens"].pop(),
    "wrong prompt length": lambda r, a: r.update(prompt_length=1),
    "array of another shape": lambda r, a: a.update({"lens.entropy": np.zeros((2, 2), np.float32)}),
    "array of another type": lambda r, a: a.update(ids=a["ids"].astype(np.float32)),
    "array missing": lambda r, a: a.pop("lens.kl"),
    "states without keys": lambda r, a: a.pop("attention.keys"),
    "positions outside": lambda r, a: a.update({"lens.positions": a["lens.positions"] + 10**6}),
    "layers that do not fit": lambda r, a: r["attention"].update(layers=[0]),
    "heads beyond the keys": lambda r, a: r["attention"].update(group=1),
    "groups of another model": lambda r, a: r["attention"].update(group=4096),
    "meaning without sink": lambda r, a: r["attention"]["meaning"].pop("sink_tokens"),
    "errors of no sample": lambda r, a: a.update({"attention.map_error": np.zeros((2, 4), np.float32)}),
    "no block": lambda r, a: r["attention"].update(block=0),
    "no ids": lambda r, a: a.pop("ids"),
    "model without a name": lambda r, a: r["model"].pop("name"),
    "model without layers": lambda r, a: r["model"].pop("layers"),
    "model without theta": lambda r, a: r["model"].pop("theta"),
    "10^12 layers": lambda r, a: r["model"].update(layers=10**12),
    "layers as text": lambda r, a: r["model"].update(layers="2"),
    "window as text": lambda r, a: r["model"].update(window="12"),
    "attention window as text": lambda r, a: r["attention"].update(window=""),
    "block of 10^30": lambda r, a: r["attention"].update(block=10**30),
    "layers twice": lambda r, a: r["attention"].update(layers=[1, 1]),
    "layers the model lacks": lambda r, a: r["attention"].update(layers=[0, 7]),
    "meaning as text": lambda r, a: r["attention"]["meaning"].update(sink_tokens="4"),
    "a statistic missing": lambda r, a: a.pop("attention.distance"),
    "received by fewer keys": lambda r, a: a.update({"attention.received": a["attention.received"][..., 1:]}),
    "received as whole numbers": lambda r, a: a.update({"attention.received": a["attention.received"].astype(int)}),
    "received by no head": lambda r, a: a.update({"attention.received": a["attention.received"][0]}),
    "statistics without received": lambda r, a: a.pop("attention.received"),
    "statistics without a share": lambda r, a: a.pop("attention.copying_share"),
    "a share of more blocks": lambda r, a: a.update({"attention.induction_share": np.zeros(999, np.float32)}),
    "a share by head": lambda r, a: a.update({"attention.induction_share": np.zeros((2, 4), np.float32)}),
    "a share of something else": lambda r, a: a.update({"attention.sink_share": a["attention.copying_share"]}),
    "largest values without means": lambda r, a: a.update({"attention.max_map": a.pop("attention.map")}),
    "largest values of other blocks": lambda r, a: a.update({"attention.max_map": a["attention.map"][..., 1:]}),
    "errors of other heads": lambda r, a: a.update({"attention.map_error": np.zeros((2, 3), np.float32)}),
    "errors by block": lambda r, a: a.update({"attention.entropy_error": a["attention.entropy"]}),
    "errors as text": lambda r, a: a.update({"attention.distance_error": np.zeros((2, 4), np.uint8)}),
    "errors of something else": lambda r, a: a.update({"attention.sink_error": np.zeros((2, 4), np.float32)}),
    "lens layers as number": lambda r, a: r["lens"].update(layers=3),
    "lens layers as text": lambda r, a: r["lens"].update(layers="abc"),
    "lens layers nested": lambda r, a: r["lens"].update(layers=[[0], [1], [2]]),
    "cache longer than the text": lambda r, a: a.update(
        {"kv_cache.logical_length": a["kv_cache.logical_length"] + 10**12}
    ),
    "cache of negative length": lambda r, a: a.update({"kv_cache.physical_length": -a["kv_cache.physical_length"]}),
    "norms beyond the text": lambda r, a: a.update(
        {f"kv_cache.{name}_norm": np.zeros((2, 2, 999), np.float32) for name in ("key", "value")}
    ),
    "empty maps of 10^9 blocks": lambda r, a: a.update(
        {
            name: np.zeros((0, 0, *[10**9] * (value.ndim - 2)), np.float32)
            for name, value in a.items()
            if name in ("attention.map", "attention.received") or name.removeprefix("attention.") in STATISTICS
        }
    ),
    "lens blocks that do not cover the text": lambda r, a: r["lens"].update(block=2),
    "lens blocks of no size": lambda r, a: r["lens"].update(block=None),
    "lens blocks of size 0": lambda r, a: r["lens"].update(block=0),
    "lens blocks without counts": lambda r, a: a.pop("lens.block_counts"),
    "lens blocks without a lens": lambda r, a: r.update(lens=None),
    "translators as a list": lambda r, a: r["lens"].update(translators=["x"]),
    "attribution without logits": lambda r, a: a.pop("attribution.logit"),
    "attribution outside the text": lambda r, a: a.update(
        {"attribution.positions": a["attribution.positions"] + 10**6}
    ),
    "attribution of another model": lambda r, a: a.update(
        {f"attribution.{name}": a[f"attribution.{name}"][:1] for name in ("attention", "mlp", "heads")}
    ),
    "attribution of other heads": lambda r, a: a.update({"attribution.heads": a["attribution.heads"][:, :3]}),
    "attribution of ids that are none": lambda r, a: a.update(
        {"attribution.token_ids": a["attribution.token_ids"].astype(np.float32)}
    ),
    "settings as text": lambda r, a: r["provenance"].update(settings="none"),
    "sampling without temperature": lambda r, a: r["provenance"]["settings"]["sampling"].pop("temperature"),
    "half a character": lambda r, a: r["provenance"].update(model="\ud800"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_contradictions_are_refused(saved: Path, tmp_path: Path, name: str) -> None:
    path = rewritten(saved, tmp_path / "hostile.inspection", HOSTILE[name])  # type: ignore[arg-type]
    with pytest.raises(FileFormatError) as caught:
        wb.open(path)
    assert "hostile.inspection" in str(caught.value)


def test_numbers_of_thousands_of_digits(saved: Path, tmp_path: Path) -> None:
    with saved.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    text = header["__metadata__"][KEY].replace('"schema_version":1', '"schema_version":1' + "0" * 5000)
    save_file(load_file(saved), tmp_path / "long.inspection", metadata={KEY: text})
    with pytest.raises(FileFormatError, match=r"long\.inspection"):
        wb.open(tmp_path / "long.inspection")


def test_numbers_that_are_none_still_draw(saved: Path, tmp_path: Path) -> None:
    def change(record: dict, arrays: dict) -> None:
        for values in arrays.values():
            if values.dtype.kind == "f":
                values[...] = np.nan

    found = wb.open(rewritten(saved, tmp_path / "nan.inspection", change))
    assert "nan.html" in str(found.to_html(tmp_path / "nan.html"))
    assert repr(found)


def test_others_may_read_what_is_saved(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o644


def test_what_is_no_inspection(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no file"):
        wb.open(tmp_path / "absent")
    (tmp_path / "pickle").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(FileFormatError, match="truncated, damaged"):
        wb.open(tmp_path / "pickle")
    save_file({"a": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(FileFormatError, match="no inspection"):
        wb.open(tmp_path / "other.safetensors")


def test_nothing_half_written(found: Inspection, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="folder"):
        found.save(tmp_path / "absent" / "x.inspection")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileFormatError, match="folder cannot be written"):
        found.save(tmp_path / "folder")
    with pytest.raises(FileFormatError, match="cannot be written"):
        found.save(tmp_path / ("x" * 300))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.parametrize(
    ("capture", "word"),
    [
        (wb.Capture(wb.AttentionCapture(layers=[2])), "layer 2"),
        (wb.Capture(wb.AttentionCapture(heads=[-5])), "head -5"),
        (wb.Capture(wb.AttentionCapture(rows=[400])), "row 400"),
        (wb.Capture(lens=wb.LensCapture(layers=9)), "lens layer 9"),
        (wb.Capture(lens=wb.LensCapture(positions=[77])), "position 77"),
        (wb.Capture(lens=wb.LensCapture(top_k=0)), "top_k"),
        (wb.Capture(wb.AttentionCapture(pool=-1)), "pool"), (wb.Capture(wb.AttentionCapture(rows="some")), "some"),
    ],
)  # fmt: skip
def test_impossible_captures(tiny_checkpoint: Callable[..., Path], capture: wb.Capture, word: str) -> None:
    model = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)))
    with pytest.raises(CaptureError, match=word):
        model.inspect("Hello", capture)


def test_a_capture_that_would_not_fit_is_refused_with_what_would(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(context=20000)))
    with pytest.raises(CaptureError, match=r"GiB.*rows="):
        model.inspect("Hello there " * 9000, wb.Capture(wb.AttentionCapture(rows="all")))
