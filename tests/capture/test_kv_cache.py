"""What the cache part says is what the cache object stores: contents, growth, evictions, and who reads what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache

import workbench as wb
from tests.inspection.test_storage import rewritten
from tests.prompts import prompt_of
from tests.reference import eager, eager_states, random_ids
from workbench.capture.recording import Recording
from workbench.errors import FileFormatError
from workbench.generation.prefill import forward, new_cache, prefill
from workbench.inspection.inspection import Inspection

WIDTH = 2 * 2 * 16 * 4  # bytes of a token in a layer: keys and values of 2 heads of 16 float32
ONLY_CACHE = wb.Capture(attention=None, lens=None)


def generated(folder: Path, tokens: int, new: int, capture: wb.Capture) -> Inspection:
    model = wb.load(str(folder))
    run = model.generate(prompt_of(model, random_ids(tokens, seed=4)), wb.Sampling(max_new_tokens=new), capture)
    list(run)
    return run.inspection


@pytest.mark.parametrize(("window", "stored"), [(None, 37), (12, 11), (60, 37), (1, 37)])
def test_contents_equal_the_states_of_an_eager_model(
    tiny_checkpoint: Callable[..., Path], window: int | None, stored: int
) -> None:
    """30 tokens and 8 new ones, of which the last was never fed: 37 read. (transformers' window of 1 keeps all.)"""
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=window)
    found = generated(folder, 30, 8, ONLY_CACHE)
    kv = found.kv_cache
    assert kv is not None
    assert kv.physical_length.values.tolist() == [stored] * 2
    assert kv.evicted.values.tolist() == [37 - stored] * 2
    assert kv.capacity.values.tolist() == [window - 1 if window not in (None, 1) else -1] * 2
    np.testing.assert_array_equal(kv.stored, np.broadcast_to(np.arange(37) >= 37 - stored, (2, 37)))
    np.testing.assert_array_equal(np.isnan(kv.key_norm), ~np.broadcast_to(kv.stored.values[:, None], (2, 2, 37)))
    everything = DynamicCache()
    with torch.no_grad():
        eager(folder)(torch.tensor([found.ids[:37].tolist()]), past_key_values=everything)
    for layer, truth in enumerate(everything.layers):
        for name, states in (("key_norm", truth.keys), ("value_norm", truth.values)):
            norms = states[0].double().pow(2).sum(-1).sqrt().numpy()
            np.testing.assert_allclose(kv[name][layer][:, 37 - stored :], norms[:, 37 - stored :], rtol=1e-4)
    assert kv.query_heads.values.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("window", [None, 12])
def test_growth_is_that_of_the_cache(tiny_checkpoint: Callable[..., Path], window: int | None) -> None:
    """One entry a new token: the state it was chosen from. The prompt is read in chunks, which are no steps."""
    module = wb.load(str(tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=window))).module
    recording, cache = Recording(ONLY_CACHE, module, 40, 46), new_cache(module)
    prefill(module, random_ids(40, seed=1), cache, recording, chunk=15)
    for token in random_ids(5, seed=2):
        forward(module, [token], cache, recording)
    found = recording.finish(cache).kv_cache
    assert found is not None
    read = np.arange(40, 46)
    kept = np.minimum(read, (window or 10**6) - 1)
    # Chunks of 15, 15 and 10: the last leaves a block of the window's 11 tokens and 10 new ones; then 11 and 1.
    block = read if window is None else np.array([21, *[12] * 5])
    for layer in range(2):
        np.testing.assert_array_equal(found.growth_logical[:, layer], read)
        np.testing.assert_array_equal(found.growth_physical[:, layer], kept)
        np.testing.assert_array_equal(found.growth_bytes[:, layer], kept * WIDTH)
        np.testing.assert_array_equal(found.growth_allocated[:, layer], block * WIDTH)
    np.testing.assert_array_equal(found.growth_allocated[-1], found.allocated)


def test_a_prompt_that_is_only_read_has_one_entry(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint(window=12)))
    kv = model.inspect(prompt_of(model, random_ids(30, seed=5)), ONLY_CACHE).kv_cache
    assert kv is not None
    assert kv.growth_logical.values.tolist() == [[30, 30]]
    assert kv.growth_physical.values.tolist() == [[11, 11]]


def test_stopped_before_the_first_token(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model, stop = wb.load(str(tiny_checkpoint())), threading.Event()
    stop.set()
    run = model.generate("Hello", capture=wb.Capture(), stop=stop)
    assert list(run) == []
    found = wb.open(run.inspection.save(tmp_path / "stopped.inspection"))
    assert found.kv_cache is not None
    assert found.kv_cache.sizes["step"] == 0


def test_who_reads_which_keys(tiny_checkpoint: Callable[..., Path]) -> None:
    """read_by is eager attention, summed over queries and over the query heads that share a key head."""
    folder = tiny_checkpoint(layers=3, heads=6, kv_heads=2, hidden=48, window=20)
    model, ids = wb.load(str(folder)), random_ids(50, seed=6)
    truth = eager_states(eager(folder), ids)["attention"].double()
    whole = model.inspect(prompt_of(model, ids), wb.Capture(wb.AttentionCapture(pool=8), lens=None))
    block = whole.kv_cache.attrs["block"]  # type: ignore[union-attr]
    received = torch.nn.functional.pad(truth.sum(2), (0, -50 % block)).view(3, 6, -1, block).sum(-1)
    sizes = np.minimum(block, 50 - np.arange(0, 50, block))
    expected = received.view(3, 2, 3, -1).sum(2).numpy() / sizes
    np.testing.assert_allclose(whole.kv_cache.read_by, expected, atol=1e-4)  # type: ignore[union-attr]
    assert whole.attention.statistics["kv_head"].values.tolist() == [0, 0, 0, 1, 1, 1]  # type: ignore[union-attr]
    assert whole.kv_cache.key_block.values.tolist() == list(range(0, 50, block))  # type: ignore[union-attr]

    some = wb.AttentionCapture(layers=[0, 2], heads=[4], pool=8)
    part = model.inspect(prompt_of(model, ids), wb.Capture(some, lens=None)).kv_cache
    assert part is not None
    assert np.isnan(part.read_by[1]).all()
    assert np.isnan(part.read_by[:, 0]).all()
    np.testing.assert_allclose(part.read_by[[0, 2], 1], received[[0, 2], 4].numpy() / sizes, atol=1e-4)
    assert "read_by" not in model.inspect(prompt_of(model, ids), ONLY_CACHE).kv_cache  # type: ignore[operator]


HOSTILE: dict[str, Callable[[dict, dict], object]] = {
    "growth without its lengths": lambda r, a: a.pop("kv_cache.growth_logical"),
    "only the memory": lambda r, a: [a.pop(name) for name in list(a) if "growth" in name],
    "growth that ends elsewhere": lambda r, a: a.update({"kv_cache.growth_bytes": a["kv_cache.growth_bytes"] + 1}),
    "growth of 10^18": lambda r, a: a.update(
        {"kv_cache.growth_physical": a["kv_cache.growth_physical"] + (np.arange(4)[::-1, None] > 2) * 10**18}
    ),
    "growth backwards": lambda r, a: a.update(
        {"kv_cache.growth_logical": a["kv_cache.growth_logical"] + (np.arange(4)[:, None] == 2) * 5}
    ),
    "negative growth": lambda r, a: a.update(
        {"kv_cache.growth_allocated": a["kv_cache.growth_allocated"] * [[-1], [1], [1], [1]]}
    ),
    "growth as fractions": lambda r, a: a.update({"kv_cache.growth_bytes": a["kv_cache.growth_bytes"] * 1.0}),
    "more steps than tokens": lambda r, a: a.update(
        {name: np.repeat(value, 9, 0) for name, value in a.items() if "growth" in name}
    ),
    "growth of another model": lambda r, a: a.update(
        {name: value[:, :1] for name, value in a.items() if "growth" in name}
    ),
    "fewer layers than the model": lambda r, a: r["model"].update(layers=7),
    "other key heads": lambda r, a: r["model"].update(kv_heads=4),
    "more key heads than heads": lambda r, a: r["model"].update(kv_heads=4096),
    "switches as text": lambda r, a: r["model"].update(switches="no window"),
    "switches it was not run with": lambda r, a: r["model"].update(switches={"window": 3}),
    "unknown switch": lambda r, a: r["model"].update(switches={"name": r["model"]["name"]}),
}


@pytest.fixture(scope="module")
def saved(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)
    return generated(folder, 20, 4, wb.Capture(lens=None)).save(tmp_path_factory.mktemp("kv") / "one.inspection")


@pytest.mark.parametrize("name", HOSTILE)
def test_contradictions_are_refused(saved: Path, tmp_path: Path, name: str) -> None:
    path = rewritten(saved, tmp_path / "hostile.inspection", HOSTILE[name])  # type: ignore[arg-type]
    with pytest.raises(FileFormatError, match=r"hostile\.inspection"):
        wb.open(path)


def test_round_trip_and_files_of_the_version_before(saved: Path, tmp_path: Path) -> None:
    found = wb.open(saved).kv_cache
    assert found is not None
    assert found.growth_logical[:, 0].values.tolist() == [20, 21, 22, 23]

    def change(record: dict, arrays: dict) -> None:
        for name in list(arrays):
            if "growth" in name or "allocated" in name:
                arrays.pop(name)

    old = wb.open(rewritten(saved, tmp_path / "old.inspection", change)).kv_cache
    assert old is not None
    assert "growth_bytes" not in old
    assert found.drop_vars([name for name in found if name not in old]).drop_dims("step", errors="ignore").equals(old)
