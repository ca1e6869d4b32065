"""The lens over random shapes: its numbers from given logits, and the stream it reads against transformers' own."""

from __future__ import annotations

import copy

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import MistralConfig, MistralForCausalLM

import workbench as wb
from tests.reference import residual_stream
from workbench.capture.lens import Scratch, read_out
from workbench.capture.observer import install
from workbench.capture.recording import Recording
from workbench.generation.prefill import new_cache, prefill

DTYPES = st.sampled_from([torch.float32, torch.bfloat16])


def dense(logits: Tensor, targets: list[int]) -> dict[str, np.ndarray]:
    """The definitions on whole float64 logits (layers, positions, vocabulary)."""
    logprob = logits.double().log_softmax(-1)
    probability = logprob.exp()
    at = torch.tensor(targets)
    own = logprob.gather(-1, at.clamp(min=0).expand(len(logits), -1)[..., None])
    return {
        "entropy": -(probability * logprob).sum(-1).numpy(),
        "kl": (probability[-1] * (logprob[-1] - logprob)).sum(-1).numpy(),
        "target_logprob": own[..., 0].masked_fill(at < 0, float("nan")).numpy(),
        "target_rank": (((logprob > own).sum(-1) + 1) * (at >= 0)).numpy(),
        "logprob": logprob.numpy(),
    }


@settings(max_examples=40, deadline=None)
@given(
    layers=st.integers(1, 4), positions=st.integers(1, 5), width=st.integers(1, 40),
    vocabulary=st.integers(8, 40) | st.sampled_from([128, 640, 1280, 1300]), top_k=st.integers(1, 8),
    dtype=DTYPES, seed=st.integers(0, 10_000), again=st.booleans(),
)  # fmt: skip
def test_numbers_follow_from_the_logits(
    layers: int, positions: int, width: int, vocabulary: int, top_k: int, dtype: torch.dtype, seed: int, again: bool
) -> None:
    """Float32 and bf16 logits alike: what is worked out of them is exact to 1e-4 (nats), ranks to the number."""
    generator = torch.Generator().manual_seed(seed)
    norm, unembedding = nn.RMSNorm(width, dtype=dtype), nn.Linear(width, vocabulary, bias=False, dtype=dtype)
    unembedding.weight.data = torch.randn(vocabulary, width, generator=generator).to(dtype)
    stream = (torch.randn(layers, positions, width, generator=generator) * 3).to(dtype)
    targets = torch.randint(-1, vocabulary, (positions,), generator=generator)
    scratch = Scratch()
    if again:  # buffers that were used before, for more rows
        read_out(norm, unembedding, torch.cat([stream, stream]), targets, top_k, scratch=scratch)
    found = {name: values.numpy() for name, values in
             read_out(norm, unembedding, stream, targets, top_k, scratch=scratch).items()}  # fmt: skip
    with torch.inference_mode():
        logits = unembedding(norm(stream.reshape(-1, width))).float().view(layers, positions, vocabulary)
    truth = dense(logits, targets.tolist())
    for name in ("entropy", "kl", "target_logprob"):
        np.testing.assert_allclose(found[name], truth[name], atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(found["target_rank"], truth["target_rank"])
    best = -np.sort(-truth["logprob"], -1)[..., :top_k]
    np.testing.assert_allclose(found["top_logprobs"], best, atol=1e-4)
    at_ids = np.take_along_axis(truth["logprob"], found["top_ids"].astype(np.int64), -1)
    np.testing.assert_allclose(at_ids, best, atol=1e-6)
    assert all(len(set(row)) == top_k for row in found["top_ids"].reshape(-1, top_k).tolist())


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 3), kv_heads=st.integers(1, 2), group=st.integers(1, 3), size=st.sampled_from([4, 8, 16]),
    window=st.none() | st.integers(1, 70), tokens=st.integers(1, 70), chunk=st.integers(1, 70), dtype=DTYPES,
    seed=st.integers(0, 1000), data=st.data(),
)  # fmt: skip
def test_lens_reads_the_models_own_stream(
    layers: int, kv_heads: int, group: int, size: int, window: int | None, tokens: int, chunk: int,
    dtype: torch.dtype, seed: int, data: st.DataObject,
) -> None:  # fmt: skip
    """Any shape, window, length and chunk, against the stream of transformers' eager forward over the whole text:
    to 2e-4 nats in float32; in bf16, where the two forwards round apart, to 0.05."""
    torch.manual_seed(seed)
    config = MistralConfig(
        vocab_size=384, hidden_size=kv_heads * group * size, intermediate_size=32, num_hidden_layers=layers,
        head_dim=size, num_attention_heads=kv_heads * group, num_key_value_heads=kv_heads, sliding_window=window,
        max_position_embeddings=128, initializer_range=0.1, attn_implementation="eager",
    )  # fmt: skip
    reference = MistralForCausalLM(config).to(dtype).eval()
    module = copy.deepcopy(reference)
    install(module)
    ids = torch.randint(0, 384, (tokens,)).tolist()
    chosen = sorted(data.draw(st.sets(st.integers(0, tokens - 1), min_size=1, max_size=9)))
    picked = sorted(data.draw(st.sets(st.integers(0, layers), min_size=1)))
    lens = wb.LensCapture(layers=picked, positions=chosen, top_k=3)
    recording = Recording(wb.Capture(attention=None, lens=lens, kv_cache=False), module, tokens, tokens)
    prefill(module, ids, new_cache(module), recording, chunk=chunk)
    found = recording.finish(None).lens
    assert found is not None
    stream = residual_stream(reference, ids)[:, chosen]
    with torch.inference_mode():
        logits = reference.lm_head(reference.model.norm(stream)).float()
    truth = dense(logits, [ids[p + 1] if p + 1 < tokens else -1 for p in chosen])
    tolerance = 2e-4 if dtype == torch.float32 else 0.05
    np.testing.assert_array_equal(found.positions, chosen)
    for name in ("entropy", "kl", "target_logprob"):
        np.testing.assert_allclose(getattr(found, name), truth[name][picked], atol=tolerance, err_msg=name)
    best = -np.sort(-truth["logprob"][picked], -1)[..., :3]
    np.testing.assert_allclose(found.top_logprobs, best, atol=tolerance)
