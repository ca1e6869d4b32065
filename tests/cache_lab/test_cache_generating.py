"""Generation under a cache policy: the laboratory's own reading, and what is captured of it against a masked square."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MistralForCausalLM

import workbench as wb
from tests.capture.dense import by_blocks, definitions, pooled
from tests.reference import eager, random_ids
from workbench.cache_lab.outcomes import Kept
from workbench.cache_lab.policies import policy
from workbench.cache_lab.reading import PolicyReader
from workbench.chat.prompt import EncodedPrompt
from workbench.errors import CacheError, CaptureError

N, NEW, WINDOW = 70, 12, 40
POLICIES = ("full", "rolling=20", "sinks=4+16", "received=24", "norm=30%", "snapkv=40", "8bit", "4bit=8")


@pytest.fixture(scope="module", params=[None, WINDOW], ids=["no window", "window"])
def pair(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[wb.Model, MistralForCausalLM]:
    folder = tiny_checkpoint(kv_heads=2, window=request.param)
    return wb.load(str(folder)), eager(folder)


@pytest.fixture(scope="module")
def prompt(pair: tuple[wb.Model, MistralForCausalLM]) -> EncodedPrompt:
    return pair[0].encode(pair[0].tokenizer.decode(random_ids(N, 5)))


def run_of(
    model: wb.Model, prompt: EncodedPrompt, cache: str | None, capture: wb.Capture | None = None, **more: object
):  # type: ignore[no-untyped-def]
    run = model.generate(prompt, wb.Sampling(max_new_tokens=NEW), capture, cache=cache, **more)  # type: ignore[arg-type]
    list(run)
    return run


def greedy(model: wb.Model, said: str, ids: list[int], new: int, given: list[int] | None = None):  # type: ignore[no-untyped-def]
    """Tokens, log-probabilities of them and cache by the laboratory's reader, fed one by one."""
    reader = PolicyReader(model, policy(said))
    found = reader.read_up_to(ids)
    assert found is not None
    row, cache = found
    tokens, logprobs = [], []
    for place in range(new):
        token = int(row.argmax()) if given is None or place >= len(given) else given[place]
        tokens.append(token)
        logprobs.append(float(row.log_softmax(-1)[token]))
        if place + 1 < new:
            row = reader.feed([token], cache, 1)[-1]
    return tokens, logprobs, cache


@pytest.mark.parametrize("said", POLICIES)
def test_a_reply_is_what_the_laboratory_reads(
    pair: tuple[wb.Model, MistralForCausalLM], prompt: EncodedPrompt, said: str
) -> None:
    model, ids = pair[0], list(prompt.ids)
    found = run_of(model, prompt, said).inspection
    tokens, logprobs, cache = greedy(model, said, ids, NEW)
    assert found.steps["token_id"].tolist() == tokens
    assert np.allclose(found.steps["logprob"], logprobs, atol=1e-4)
    kept, state = Kept.of(cache), found.kv_cache
    for layer, rows in enumerate(kept.positions):
        for head, positions in enumerate(rows):
            stored = state["kept"].values[layer, head]
            assert np.flatnonzero(stored).tolist() == positions.tolist()
            assert (np.isfinite(state["key_norm"].values[layer, head]) == stored).all()
    assert int(state["bytes"].sum()) == cache.nbytes
    assert state["physical_length"].values.tolist() == list(kept.counts)
    assert found.provenance["settings"]["cache"] == str(policy(said))
    assert state["growth_bytes"].values[-1].tolist() == state["bytes"].values.tolist()


def test_the_full_policy_is_the_plain_run(pair: tuple[wb.Model, MistralForCausalLM], prompt: EncodedPrompt) -> None:
    plain, full = (run_of(pair[0], prompt, said).inspection for said in (None, "full"))
    assert full.steps["token_id"].tolist() == plain.steps["token_id"].tolist()
    assert np.allclose(full.steps["logprob"], plain.steps["logprob"], atol=1e-5)
    for name in ("attention.rows", "attention.map", "attention.received", "attention.copying", "lens.entropy",
                 "kv_cache.key_norm"):  # fmt: skip
        assert np.allclose(full.arrays[name], plain.arrays[name], atol=1e-4, equal_nan=True), name
    assert "cache" not in plain.provenance["settings"]
    assert plain.kv_cache["kept"].values.tolist() == np.isfinite(plain.kv_cache["key_norm"].values).tolist()


def seen_by(model: wb.Model, said: str, found: wb.Inspection, prompt: int) -> torch.Tensor:
    """(layer, head, T, T): which keys each query really saw, from the policy's definition."""
    total = len(found.ids) - 1
    query, key = torch.arange(total)[:, None], torch.arange(total)[None]
    own = (key <= query) & (key > query - (model.window or total + 1))
    masks = own.repeat(model.layers, model.heads, 1, 1)
    if said in ("rolling=20", "sinks=4+16"):
        recent, sinks = {"rolling=20": (20, 0), "sinks=4+16": (16, 4)}[said]
        return masks & ((key > query - recent) | (key < sinks))
    left = PolicyReader(model, policy(said)).read_up_to(found.ids[:prompt].tolist())
    assert left is not None
    group = model.heads // model.kv_heads
    for layer, rows in enumerate(Kept.of(left[1]).positions):
        for head in range(model.heads):
            dropped = torch.ones(prompt, dtype=torch.bool)
            dropped[torch.tensor(rows[head // group])] = False
            masks[layer, head, prompt:, :prompt] &= ~dropped
    return masks


def square(plain: MistralForCausalLM, ids: list[int], masks: torch.Tensor) -> list[torch.Tensor]:
    """By layer the probabilities (head, T, T) of a forward without any cache, under masks (layer, head, T, T)."""
    model, found = plain.model, []
    with torch.no_grad():
        hidden = model.embed_tokens(torch.tensor([ids]))
        cos, sin = model.rotary_emb(hidden, torch.arange(len(ids))[None])
        for layer, mask in zip(model.layers, masks, strict=True):
            x, own = layer.input_layernorm(hidden), layer.self_attn
            q, k, v = (
                p(x).unflatten(2, (-1, own.head_dim)).transpose(1, 2) for p in (own.q_proj, own.k_proj, own.v_proj)
            )

            def turned(y: torch.Tensor) -> torch.Tensor:
                half = y.shape[-1] // 2
                return y * cos[:, None] + torch.cat([-y[..., half:], y[..., :half]], -1) * sin[:, None]

            group = q.shape[1] // k.shape[1]
            q, k, v = turned(q), turned(k).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            mass = ((q @ k.transpose(2, 3)) * own.head_dim**-0.5).masked_fill(~mask, -torch.inf).softmax(-1)
            found.append(mass[0].double())
            hidden = hidden + own.o_proj((mass @ v).transpose(1, 2).flatten(2))
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return found


@pytest.mark.parametrize("said", ["rolling=20", "sinks=4+16", "received=24", "snapkv=40"])
def test_attention_is_of_what_was_read(
    pair: tuple[wb.Model, MistralForCausalLM], prompt: EncodedPrompt, said: str
) -> None:
    model, plain = pair
    wanted = wb.AttentionCapture(rows="all", pool=16, maximum=True, recent=9, reach=13)
    found = run_of(model, prompt, said, wb.Capture(wanted)).inspection
    ids = found.ids.tolist()
    truth = square(plain, ids[:-1], seen_by(model, said, found, len(prompt.ids)))
    attention = found.attention
    assert attention.rows.sizes["query"] == len(ids) - 1
    statistics = attention.statistics
    for layer, mass in enumerate(truth):
        assert np.allclose(attention.rows.values[layer], mass, atol=1e-4)
        mean, largest = pooled(mass, attention.block)
        assert np.allclose(attention.map.values[layer], mean, atol=1e-4)
        assert np.allclose(attention.max_map.values[layer], largest, atol=1e-4)
        assert np.allclose(attention.received.values[layer], mass.sum(1), atol=1e-3)
        for name, values in definitions(mass, ids[:-1], 4, 9, 13).items():
            if name == "copying":  # of the last token that was read what came next is known, of the prompt's end not
                continue
            by_hand = by_blocks(values, attention.block)
            assert np.allclose(statistics[name].values[layer], by_hand, atol=2e-3), name


def test_given_tokens_and_a_prompt_only_read(
    pair: tuple[wb.Model, MistralForCausalLM], prompt: EncodedPrompt, tmp_path: Path
) -> None:
    model = pair[0]
    begin = random_ids(9, 8)
    for said in ("sinks=4+16", "4bit=8"):
        found = run_of(model, prompt, said, begin=begin, reuse=wb.PrefixStore()).inspection
        tokens, logprobs, _ = greedy(model, said, list(prompt.ids), NEW, begin)
        assert found.steps["token_id"].tolist() == tokens
        assert np.allclose(found.steps["logprob"], logprobs, atol=1e-4)
        assert found.provenance["settings"]["reused_tokens"] == 0
    read = model.inspect(prompt, cache="snapkv=40")
    plain = model.inspect(prompt)
    assert np.allclose(read.arrays["attention.rows"], plain.arrays["attention.rows"], atol=1e-5), "read before it chose"
    assert read.kv_cache["kept"].sum("position").values.tolist() == [[min(40, (model.window or 99) - 1)] * 2] * 2
    again = wb.open(read.save(tmp_path / "x.inspection"))
    assert (again.kv_cache["kept"].values == read.kv_cache["kept"].values).all()


def test_what_cannot_be_is_a_sentence(pair: tuple[wb.Model, MistralForCausalLM], prompt: EncodedPrompt) -> None:
    model = pair[0]
    with pytest.raises(CacheError, match="is no cache policy"):
        model.generate(prompt, cache="best=4")
    with pytest.raises(CaptureError, match=r"states do not tell .* snapkv=40; expected .*states=False.* rows"):
        model.generate(prompt, capture=wb.Capture.full(), cache="snapkv=40")
    with pytest.raises(CaptureError, match=r"not sampled under the cache policy sinks=4\+16"):
        model.inspect(prompt, wb.Capture(wb.AttentionCapture(sample=4)), cache="sinks=4+16")
