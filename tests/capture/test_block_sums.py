"""Block sums, by the compiled kernel and by PyTorch, equal those of the whole square of probabilities."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capture.dense import dense_attention
from workbench.capture import block_sums as module
from workbench.capture.block_sums import LOG2E, BlockSums, Rows, block_sums, native_agrees
from workbench.capture.native import library

KERNELS = [False] + ([True] if library() is not None else [])


@st.composite
def problems(draw: st.DrawFn) -> dict[str, int | None]:
    return {
        "heads": draw(st.integers(1, 5)),
        "tokens": draw(st.integers(1, 300)),
        "size": draw(st.sampled_from([1, 3, 8, 40, 64])),
        "block": draw(st.integers(1, 70)),
        "window": draw(st.none() | st.integers(1, 320)),
        "past": draw(st.integers(0, 200)),
        "every": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 10_000)),
    }


def log_sum_exp(query: torch.Tensor, key: torch.Tensor, share: torch.Tensor, scale: float) -> torch.Tensor:
    """(heads, n) in nats: the score of each query's best key less the logarithm of its share."""
    best = share.argmax(-1, keepdim=True)
    scores = query.double() @ key.double().T * scale
    return (scores.gather(-1, best) - share.gather(-1, best).log())[..., 0].float()


def rows_of(
    query: torch.Tensor, lse: torch.Tensor, places: torch.Tensor, parts: torch.Tensor, window: int | None, scale: float,
    block: int, offset: int, seed: int = 0,
) -> Rows:  # fmt: skip
    count, generator = int(parts[-1]) + 1, torch.Generator().manual_seed(seed)
    origin, common = (torch.randint(0, 300, (count,), generator=generator) for _ in range(2))
    weight = torch.rand(count, generator=generator)
    bits = query[:, places].float() * (scale * LOG2E)
    return Rows(bits, lse[:, places] * LOG2E, places, parts, window, block, offset, origin, common, weight)


def check(found: BlockSums, share: torch.Tensor, rows: Rows) -> None:
    """``share`` (heads, n, keys) are the probabilities of the chosen queries."""
    parts, keys = len(rows.origin), torch.arange(share.shape[-1])
    member = torch.nn.functional.one_hot(rows.part_of, parts).double()
    mass = torch.einsum("hnk,np->hpk", share, member)
    cell = (keys + rows.offset) // rows.block
    inside = torch.nn.functional.one_hot(cell, found.pooled.shape[-1]).double()
    expected = {
        "pooled": (mass @ inside, 5e-5),
        "received": (torch.einsum("hpk,p->hk", mass, rows.weight.double()), 1e-4),
        "plogp": (torch.xlogy(share, share).sum(-1) @ member / math.log(2), 1e-3),
        "moment": ((mass * (keys - rows.origin[:, None])).sum(-1), 2e-2),
        "near": ((mass * (keys >= rows.common[:, None])).sum(-1), 1e-4),
    }
    for name, (values, near) in expected.items():
        torch.testing.assert_close(getattr(found, name).double(), values, atol=near, rtol=1e-4, msg=name)
    if found.peak is not None:
        by_part = torch.zeros(share.shape[0], parts, share.shape[2], dtype=torch.double)
        by_part.scatter_reduce_(1, rows.part_of[None, :, None].expand_as(share), share, "amax")
        best = torch.zeros(found.peak.shape, dtype=torch.double)
        best.scatter_reduce_(2, cell.expand_as(by_part), by_part, "amax")
        torch.testing.assert_close(torch.exp2(found.peak).double(), best, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("native", KERNELS, ids=lambda native: "compiled" if native else "PyTorch")
@settings(max_examples=60, deadline=None)
@given(problem=problems(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_any_shape(native: bool, problem: dict[str, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(problem["seed"])
    n, total, block = problem["tokens"], problem["tokens"] + problem["past"], problem["block"]
    query = (torch.randn(problem["heads"], total, problem["size"], generator=generator) * 2).to(dtype)
    key = torch.randn(1, total, problem["size"], generator=generator).to(dtype)
    scale = problem["size"] ** -0.5
    share = dense_attention(query.float(), key.float(), problem["window"], scale)
    lse = log_sum_exp(query, key[0], share, scale)
    places = torch.arange(total - n, total)[:: problem["every"]]
    block_of = places // block - int(places[0]) // block
    parts = block_of * 2 + torch.arange(len(places)) % 2  # as a sampled capture does: the halves of each block apart
    order = torch.argsort(parts, stable=True)
    rows = rows_of(
        query, lse, places[order], parts[order], problem["window"], scale, block, problem["seed"] % block,
        problem["seed"],
    )  # fmt: skip
    found = block_sums(rows, key[0], peaks=True, native=native)
    check(found, share[:, places[order]], rows)
    without = block_sums(rows, key[0], native=native)
    assert without.peak is None
    torch.testing.assert_close(without.pooled, found.pooled)


def test_a_score_far_below_the_rest_is_no_nan() -> None:
    key = torch.tensor([[40.0], [-40.0], [0.0]])
    query = torch.full((1, 3, 1), 40.0)
    share = dense_attention(query, key[None], None, 1.0)
    lse = torch.logsumexp((query[0] @ key.T).masked_fill(torch.ones(3, 3).triu(1).bool(), -math.inf), -1)[None]
    rows = rows_of(query, lse, torch.arange(3), torch.zeros(3, dtype=torch.long), None, 1.0, 2, 0)
    for native in KERNELS:
        found = block_sums(rows, key, native=native)
        assert found.plogp.isfinite().all()
        check(found, share, rows)


@pytest.mark.parametrize("native", KERNELS)
def test_a_nan_is_not_hidden(native: bool) -> None:
    places, parts = torch.arange(3), torch.zeros(3, dtype=torch.long)
    rows = rows_of(torch.full((1, 3, 2), math.nan), torch.zeros(1, 3), places, parts, None, 1.0, 2, 0)
    found = block_sums(rows, torch.ones(3, 2), native=native)
    assert found.pooled.isnan().all()
    assert found.plogp.isnan().all()


def test_a_wrong_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(sums: BlockSums, rows: Rows, key: torch.Tensor) -> None:
        module._block_sums(sums, rows, key)
        sums.near *= 2

    monkeypatch.setattr(module, "native_block_sums", doubled)
    native_agrees.cache_clear()
    try:
        assert not native_agrees()
    finally:
        native_agrees.cache_clear()


def test_without_a_compiler_everything_still_works() -> None:
    code = (
        "import torch; from workbench.capture.native import library; assert library() is None;"
        "from workbench.capture.block_sums import Rows, block_sums; q, i = torch.ones(1, 2, 4), torch.arange(2);"
        "r = Rows(q, q[..., 0], i, i, None, 1, 0, i, i, torch.ones(2)); print(block_sums(r, q[0]).pooled.shape)"
    )
    for changed in ({"WORKBENCH_NATIVE": "0"}, {"PATH": "/nowhere"}):
        told = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | changed, capture_output=True, text=True, check=True
        )
        assert "torch.Size([1, 2, 2])" in told.stdout


@pytest.mark.skipif(library() is None, reason="there is no C++ compiler here")
def test_a_library_without_the_functions_is_not_used(tmp_path: Path) -> None:
    compiler = next(filter(None, (shutil.which(name) for name in ("c++", "g++", "clang++"))))
    other = tmp_path / "c++"
    other.write_text(
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n'
        f"echo 'int other() {{ return 1; }}' | {compiler} -x c++ -shared -fPIC -o \"$2\" -\n"
    )
    other.chmod(0o755)
    changed = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code = "from workbench.capture.native import library; print(library())"
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | changed, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "None"
    assert list((tmp_path / "cache" / "mistral-workbench").iterdir())  # it was built, and looked at


@pytest.mark.skipif(library() is None, reason="there is no C++ compiler here")
def test_threads_give_the_same_numbers() -> None:
    torch.manual_seed(0)
    query, key, lse = torch.randn(6, 200, 16), torch.randn(200, 16), torch.full((6, 200), 3.0)
    rows = rows_of(query, lse, torch.arange(200), torch.arange(200) // 16, 50, 0.25, 16, 0)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(block_sums(rows, key, peaks=True, native=True))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].pooled, found[1].pooled)
    assert torch.equal(found[0].plogp, found[1].plogp)
