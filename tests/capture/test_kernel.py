"""Attention with log-sum-exp equals masked softmax attention, for every window, past and grouping."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.capture.backends import log_sum_exp
from workbench.capture.kernel import attend


@settings(max_examples=150, deadline=None)
@given(
    queries=st.integers(1, 70), past=st.integers(0, 50), window=st.none() | st.integers(1, 90),
    kv_heads=st.sampled_from([1, 2, 4]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_equals_masked_softmax(queries: int, past: int, window: int | None, kv_heads: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = queries + past
    query = torch.randn(1, 4, queries, 16, generator=generator) * 2
    key, value = (torch.randn(1, kv_heads, keys, 16, generator=generator) for _ in range(2))
    output, lse = attend(query, key, value, window, 0.3)

    full_key, full_value = (t.repeat_interleave(4 // kv_heads, 1) for t in (key, value))
    scores = query @ full_key.transpose(2, 3) * 0.3
    at, of = torch.arange(past, keys)[:, None], torch.arange(keys)[None]
    hidden = (of > at) if window is None else (of > at) | (of <= at - window)
    scores = scores.masked_fill(hidden, float("-inf"))
    torch.testing.assert_close(output, scores.softmax(-1) @ full_value, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(lse, scores.logsumexp(-1), atol=2e-5, rtol=1e-5)


def test_slow_log_sum_exp_equals_the_kernels() -> None:
    query, key = torch.randn(1, 8, 300, 32), torch.randn(1, 2, 300, 32)
    for causal in (True, False):
        _, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, key, 0.0, causal, scale=0.2)
        torch.testing.assert_close(log_sum_exp(query, key, causal, 0.2), lse, atol=1e-5, rtol=1e-5)


def test_window_of_thousands_of_tokens() -> None:
    query, key, value = torch.randn(1, 2, 3000, 8), torch.randn(1, 1, 3000, 8), torch.randn(1, 1, 3000, 8)
    output, _ = attend(query, key, value, 1500, 0.35)
    at, of = torch.arange(3000)[:, None], torch.arange(3000)[None]
    seen = (of <= at) & (of > at - 1500)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key.expand(-1, 2, -1, -1), value.expand(-1, 2, -1, -1), attn_mask=seen, scale=0.35
    )
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-4)
