"""Every policy against plain PyTorch: which keys it keeps, and what is read behind them under a mask over all keys."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import MistralForCausalLM

import workbench as wb
from tests.reference import eager, eager_states, random_ids
from workbench.cache_lab.layer import KeptCache, KeptLayer, Sight
from workbench.cache_lab.packing import PackedLayer, pack, packed_bytes
from workbench.cache_lab.policies import EXAMPLES, OPTIONAL, POLICIES, policy
from workbench.cache_lab.policy import Policy
from workbench.cache_lab.reading import PolicyReader, PromptReader, fed
from workbench.errors import CacheError
from workbench.generation.prefill import forward_rows, new_cache

N, AHEAD, WINDOW = 150, 40, 64
CHOOSING = ("received=40", "received=25%", "norm=40", "snapkv=45", "snapkv=20")
STREAMING = ("rolling=30", "rolling=20%", "sinks=4+20", "sinks=3+90")


@pytest.fixture(scope="module", params=[None, WINDOW], ids=["no window", "window"])
def pair(request: pytest.FixtureRequest, tiny_checkpoint: Callable[..., Path]) -> tuple[wb.Model, MistralForCausalLM]:
    folder = tiny_checkpoint(kv_heads=2, window=request.param)
    return wb.load(str(folder)), eager(folder)


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return random_ids(N + AHEAD, 3)


def allowed(window: int | None, total: int) -> torch.Tensor:
    """(total, total): the mask of a model, from its definition."""
    query, key = torch.arange(total)[:, None], torch.arange(total)[None]
    return (key <= query) & (key > query - (window or total + 1))


@torch.no_grad()
def masked(module: MistralForCausalLM, ids: list[int], masks: list[torch.Tensor]) -> torch.Tensor:
    """Logits (T, vocabulary) of a forward over all of ``ids``, layer i under masks[i] (heads, T, T); no cache."""
    model = module.model
    hidden = model.embed_tokens(torch.tensor([ids]))
    cos, sin = model.rotary_emb(hidden, torch.arange(len(ids))[None])

    def turned(x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return x * cos[:, None] + torch.cat([-x[..., half:], x[..., :half]], -1) * sin[:, None]

    for layer, mask in zip(model.layers, masks, strict=True):
        x, attention = layer.input_layernorm(hidden), layer.self_attn
        q, k, v = (p(x).unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
                   for p in (attention.q_proj, attention.k_proj, attention.v_proj))  # fmt: skip
        group = q.shape[1] // k.shape[1]
        q, k, v = turned(q), turned(k).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = (q @ k.transpose(2, 3)) * attention.head_dim**-0.5
        read = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v
        hidden = hidden + attention.o_proj(read.transpose(1, 2).flatten(2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return module.lm_head(model.norm(hidden))[0]


def masks_of(cache: KeptCache, model: wb.Model, total: int) -> list[torch.Tensor]:
    """By layer (heads, total, total): prompts under the model's own mask, later queries without the dropped keys."""
    masks = []
    for layer in cache.layers:
        mask = allowed(model.window, total).repeat(model.heads, 1, 1)
        rows = layer.positions.expand(model.kv_heads, -1)
        for head in range(model.heads):
            dropped = torch.ones(N, dtype=torch.bool)
            dropped[rows[head * model.kv_heads // model.heads]] = False
            mask[head, N:, :N] &= ~dropped
        masks.append(mask)
    return masks


@pytest.mark.parametrize("said", CHOOSING)
@pytest.mark.parametrize("step", [1, 256])
def test_reading_on_hides_exactly_the_dropped_keys(
    pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], said: str, step: int
) -> None:
    model, plain = pair
    found = PromptReader(model, [policy(said)]).under(policy(said), ids[:N])
    assert found is not None
    wanted = masked(plain, ids, masks_of(found[1], model, len(ids)))
    rows = torch.cat([found[0][None], *fed(model.module, ids[N:], found[1], step)])
    assert torch.allclose(rows, wanted[N - 1 :], atol=2e-4)
    assert not torch.allclose(rows[1:], masked(plain, ids, [allowed(model.window, len(ids)).expand(4, -1, -1)] * 2)[N:],
                              atol=1e-2)  # fmt: skip


@pytest.mark.parametrize("said", STREAMING)
@pytest.mark.parametrize("step", [1, 256])
def test_a_streaming_policy_is_a_mask_from_the_first_token_on(
    pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], said: str, step: int
) -> None:
    model, plain = pair
    recent, sinks = {"rolling=30": (30, 0), "rolling=20%": (30, 0), "sinks=4+20": (20, 4), "sinks=3+90": (90, 3)}[said]
    key = torch.arange(len(ids))[None]
    mask = allowed(model.window, len(ids)) & (allowed(recent, len(ids)) | (key < sinks))
    found = PromptReader(model, []).under(policy(said), ids[:N])
    assert found is not None
    rows = torch.cat([found[0][None], *fed(model.module, ids[N:], found[1], step)])
    assert torch.allclose(rows, masked(plain, ids, [mask.expand(4, -1, -1)] * 2)[N - 1 :], atol=2e-4)
    for layer in found[1].layers:  # what the next query would see, less its own key, and nothing more
        assert layer.positions[0].tolist() == [
            j for j in range(len(ids)) if _next_sees(j, len(ids), model, recent, sinks)
        ]


def _next_sees(j: int, at: int, model: wb.Model, recent: int, sinks: int) -> bool:
    return (j > at - recent or j < sinks) and (model.window is None or j > at - model.window)


def chosen_by_hand(said: str, attention: torch.Tensor, keys: torch.Tensor, first: int, group: int) -> list[list[int]]:
    """Positions by kv head, with loops: ``attention`` (head, N, N), ``keys`` (kv_heads, stored, head_dim)."""
    name, _, setting = said.partition("=")
    stored = N - first
    count = -(-stored * int(setting[:-1]) // 100) if setting.endswith("%") else int(setting)
    found = []
    for kv in range(len(keys)):
        heads = attention[kv * group : (kv + 1) * group].double()
        if name == "norm":
            order = sorted(range(first, N), key=lambda j: float(keys[kv, j - first].double().norm()))
            found.append(sorted(order[:count]))
            continue
        last = count - count // 2 if name == "received" else min(32, count)
        ending = list(range(N - last, N))
        rows = range(N) if name == "received" else range(N - 32, N)
        got = {j: sum(float(head[i, j]) for head in heads for i in rows) for j in range(first, N)}
        if name == "snapkv":
            voted = range(first, N - 32)
            got = {j: sum(got[i] for i in range(j - 2, j + 3) if i in voted) for j in voted}
        order = sorted((j for j in got if j < N - last), key=lambda j: -got[j])
        found.append(sorted(order[: count - last] + ending))
    return found


@pytest.mark.parametrize("said", CHOOSING)
def test_the_choice_is_the_published_rule(pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], said: str) -> None:
    model, plain = pair
    attention = eager_states(plain, ids[:N])["attention"]
    found = PromptReader(model, [policy(said)]).under(policy(said), ids[:N])
    full = PromptReader(model, []).full(ids[:N])
    assert found is not None
    assert full is not None
    for i, layer in enumerate(found[1].layers):
        keys = full.layers[i][0][0]
        wanted = chosen_by_hand(said, attention[i], keys, N - keys.shape[1], model.heads // model.kv_heads)
        if policy(said).name == "norm":  # a token that comes twice has one norm: the first layer knows ties
            norms = keys.double().norm(dim=-1)
            for kept, hand, one in zip(layer.positions, torch.tensor(wanted), norms, strict=True):
                first = N - keys.shape[1]
                assert torch.allclose(one[kept - first].sort().values, one[hand - first].sort().values, atol=1e-5)
            assert all(len(set(row)) == len(row) and row == sorted(row) for row in layer.positions.tolist())
        else:
            assert layer.positions.tolist() == wanted


@pytest.mark.parametrize("said", ["rolling=400", "sinks=4+400", "received=190", "norm=100%", "snapkv=190", "8bit=190"])
def test_a_budget_for_all_is_the_full_cache(
    pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], said: str
) -> None:
    model, _ = pair
    found = PromptReader(model, [policy(said)]).under(policy(said), ids[:N])
    assert found is not None
    rows = torch.cat([found[0][None], *fed(model.module, ids[N:], found[1], 9)])
    wanted = forward_rows(model.module, ids, new_cache(model.module), None, AHEAD + 1)
    assert torch.allclose(rows, wanted, atol=2e-4)


def test_the_model_s_own_window_as_a_rolling_buffer_changes_nothing(
    tiny_checkpoint: Callable[..., Path], ids: list[int]
) -> None:
    model = wb.load(str(tiny_checkpoint(kv_heads=2, window=WINDOW)))
    wanted = forward_rows(model.module, ids, new_cache(model.module), None, AHEAD + 1)
    for one in (model, model.switched(window=None)):
        found = PromptReader(one, []).under(policy(f"rolling={WINDOW}"), ids[:N])
        assert found is not None
        rows = torch.cat([found[0][None], *fed(one.module, ids[N:], found[1])])
        assert torch.allclose(rows, wanted, atol=2e-4)
        assert {layer.positions.shape[1] for layer in found[1].layers} == {WINDOW - 1}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_are_foretold(pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], dtype: str) -> None:
    model = pair[0] if dtype == "float32" else wb.load(str(pair[0].spec.location), dtype=dtype)
    said = [EXAMPLES[name] for name in POLICIES]
    said += ["8bit=40", "4bit=0", "sinks=4+30%", "norm=1", "rolling=1", "snapkv=50%"]
    every = [policy(one) for one in said]
    for length in (1, 31, N):
        reader = PromptReader(model, every)
        for one in every:
            found = reader.under(one, ids[:length])
            assert found is not None
            kept = one.kept(length, model.window)
            each = one.layer_bytes(kept, model.kv_heads, model.head_dim, model.dtype.itemsize)
            assert found[1].nbytes == found[1].allocated == model.layers * each, (str(one), length)
            assert found[1].get_seq_length() == length


@pytest.mark.parametrize("bits", [8, 4])
def test_packing_is_off_by_half_a_step_at_most(bits: int) -> None:
    states = torch.randn(1, 2, 32, 16, generator=torch.Generator().manual_seed(0))
    states[0, 0, :, 3] = 7.0  # a constant channel
    for axis in (2, 3):
        packed = pack(states, axis, bits)
        step = (states.amax(axis, keepdim=True) - states.amin(axis, keepdim=True)) / (2**bits - 1)
        assert bool(((packed.unpacked() - states).abs() <= step / 2 + 1e-5).all())
    assert packed_bytes(64, 2, 16, bits, 4) == sum(
        tensor.nbytes
        for _ in range(2)
        for tensor in (*pack(states, 2, bits).tensors, *pack(states.unflatten(3, (-1, 16)), 4, bits).tensors)
    )


@pytest.mark.parametrize("said", ["8bit=20", "4bit=20"])
def test_a_packed_cache_read_at_once_is_that_read_one_by_one(
    pair: tuple[wb.Model, MistralForCausalLM], ids: list[int], said: str
) -> None:
    model, _ = pair
    one = policy(said)
    reader = PromptReader(model, [one])
    rows, stored = [], []
    for step in (1, 256):
        found = reader.under(one, ids[:N])
        assert found is not None
        rows.append(torch.cat(list(fed(model.module, ids[N:], found[1], step))))
        stored.append(found[1].nbytes)
        layer = found[1].layers[0]
        assert isinstance(layer, PackedLayer)
        assert layer.packed
        assert layer.positions.shape[1] == layer.packed + layer.keys.shape[2]
    assert torch.allclose(rows[0], rows[1], atol=2e-4)
    assert stored[0] == stored[1]
    wanted = forward_rows(model.module, ids, new_cache(model.module), None, AHEAD)
    off = float((rows[1] - wanted).abs().mean())
    assert 1e-6 < off < (0.02 if one.name == "8bit" else 0.5)


def test_heads_may_lose_keys_at_different_times() -> None:
    """A window takes keys from the head that kept early ones first: stored is what the other still needs."""
    positions = torch.tensor([[1, 2, 8], [7, 8, 9]])
    states = torch.arange(6.0).reshape(1, 2, 3, 1)
    layer = KeptLayer(Sight(window=4), states, states.clone(), positions, 10)
    new = torch.full((1, 2, 1, 1), 9.0)
    keys, _ = layer.update(new, new)  # the query at 10 sees 7 to 10
    assert keys._workbench_seen.seen.int().tolist() == [[[0, 0, 1, 1]], [[1, 1, 1, 1]]]
    assert layer.positions.tolist() == [[2, 8, 10], [8, 9, 10]]
    assert layer.keys[0, :, :, 0].tolist() == [[1, 2, 9], [4, 5, 9]]
    assert layer.get_mask_sizes(2) == (5, 8)  # and 8 + 5 == 11 + 2, so no mask is built


def test_policies_share_one_reading_and_their_order_does_not_matter(
    pair: tuple[wb.Model, MistralForCausalLM], ids: list[int]
) -> None:
    model, _ = pair
    said = [*CHOOSING, "full", "8bit=20"]

    def behind(order: list[str]) -> dict[str, torch.Tensor]:
        policies = [policy(one) for one in order]
        reader = PromptReader(model, policies)
        found = {}
        for one in policies:
            _, cache = reader.under(one, ids[:N]) or (None, None)
            assert cache is not None
            found[str(one)] = torch.cat(list(fed(model.module, ids[N:], cache)))
        assert reader.read == N
        return found

    forward, backward = behind(said), behind(said[::-1])
    assert all(torch.equal(forward[one], backward[one]) for one in said)


def test_said_policies_are_read_back() -> None:
    assert list(EXAMPLES) == [*POLICIES, *OPTIONAL]
    for said in (*(EXAMPLES[name] for name in POLICIES), "sinks=4+25%", "received=25%", "8bit=64", "norm=12.5%"):
        assert str(policy(said)) == said
        assert isinstance(policy(policy(said)), Policy)
    assert policy("norm=0.25") == policy("norm=25%")


@pytest.mark.parametrize(
    "said",
    ["", "h2o", "norm", "norm=", "norm=0", "norm=-3", "norm=0%", "norm=101%", "norm=nan", "norm=many", "full=3",
     "sinks=256", "sinks=4+", "sinks=a+3", "rolling=0", "4bit=x", "snapkv=1e9", 7],
)  # fmt: skip
def test_an_impossible_policy_is_a_sentence(said: object) -> None:
    with pytest.raises(CacheError, match="expected"):
        policy(said)  # type: ignore[arg-type]


def test_a_budget_says_what_is_wrong_with_it() -> None:
    for said, what in (
        ("norm=0", "A budget of 0 tokens"),
        ("norm=120%", "A budget of 1.2 of"),
        ("norm=x", "'x' is no"),
    ):
        with pytest.raises(CacheError, match=what):
            policy(said)


def test_stopped_and_the_question_s_reader(pair: tuple[wb.Model, MistralForCausalLM], ids: list[int]) -> None:
    model, _ = pair
    stop = threading.Event()
    stop.set()
    for said in ("full", "rolling=20"):
        assert PolicyReader(model, policy(said)).read_up_to(ids[:N], stop) is None
    reader = PolicyReader(model, policy("snapkv=40"))
    _, cache = reader.read_up_to(ids[:N]) or (None, None)
    again = reader.returning(cache, N)
    first = reader.feed(ids[N : N + 5], cache, 5)
    assert torch.equal(first, reader.feed(ids[N : N + 5], again(), 5))
    assert reader.read == N + 10
