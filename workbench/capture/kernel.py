"""Causal attention, with or without a sliding window, that also returns the log-sum-exp of every query's scores.

With the log-sum-exp known, any attention probability is ``exp(q.k * scale - lse)``: exact for any subset of rows and
keys in one pass, which is what lets a long prompt be inspected without a heads x T x T tensor. No mask is ever built.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.capture.backends import backend_for

_LONGEST_CHUNK = 1024


def attend(query: Tensor, key: Tensor, value: Tensor, window: int | None, scale: float) -> tuple[Tensor, Tensor]:
    """Attention output ``(1, heads, queries, head_dim)`` and log-sum-exp ``(1, heads, queries)`` in float32, nats.

    ``query`` is ``(1, heads, queries, head_dim)``; ``key`` and ``value`` are ``(1, kv_heads, keys, head_dim)``. The
    queries are the last ones of the key sequence: query i stands at key index ``keys - queries + i``. A query sees
    at most ``window`` keys, itself included.

    With a window, queries are taken in chunks ``[a, b)`` of at most ``window`` and three kinds of keys are merged by
    their log-sum-exps. For window 4, a = 6, b = 9 (queries 6, 7, 8):
    keys 6..8 are the causal diagonal; key 5 (``[b - 4, a)``) is seen by all three; keys 3 and 4 (``[a - 3, b - 4)``)
    are the window's edge: query 6 sees both, query 7 sees key 4, query 8 none. Reversed in time the edge is causal too.
    """
    queries, keys = query.shape[2], key.shape[2]
    past = keys - queries
    if window is None or keys <= window:
        pieces = [_piece(query, key[:, :, past:], value[:, :, past:], True, scale)]
        if past:
            pieces.append(_piece(query, key[:, :, :past], value[:, :, :past], False, scale))
        return _merge(pieces)
    if queries == 1:
        return _piece(query, key[:, :, -window:], value[:, :, -window:], False, scale)
    outputs, sums = [], []
    start = past
    while start < keys:
        end = min(start + min(window, _LONGEST_CHUNK), keys)
        if start < window < end:  # before key index `window` no key has left any query's window
            end = window
        output, lse = _windowed_chunk(query[:, :, start - past : end - past], key, value, start, end, window, scale)
        outputs.append(output)
        sums.append(lse)
        start = end
    return torch.cat(outputs, 2), torch.cat(sums, 2)


def _windowed_chunk(
    query: Tensor, key: Tensor, value: Tensor, start: int, end: int, window: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of the queries at key indices ``[start, end)``; see `attend` for the three pieces."""
    pieces = [_piece(query, key[:, :, start:end], value[:, :, start:end], True, scale)]
    middle = max(0, end - window)
    if middle < start:
        pieces.append(_piece(query, key[:, :, middle:start], value[:, :, middle:start], False, scale))
    edge = max(0, start - window + 1)
    if edge < middle:
        rows = middle - edge  # one fewer than the chunk has queries: the last query sees no edge key
        output, lse = _piece(
            query[:, :, :rows].flip(2), key[:, :, edge:middle].flip(2), value[:, :, edge:middle].flip(2), True, scale
        )
        seen = _merge([(output.flip(2), lse.flip(2)), *((o[:, :, :rows], s[:, :, :rows]) for o, s in pieces)])
        rest = _merge([(o[:, :, rows:], s[:, :, rows:]) for o, s in pieces])
        return torch.cat([seen[0], rest[0]], 2), torch.cat([seen[1], rest[1]], 2)
    return _merge(pieces)


def _piece(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """One mask-free call: output and log-sum-exp. Causal calls are square."""
    return backend_for(query, key).run(query, key, value, causal, scale)


def _merge(pieces: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The attention over the union of disjoint key sets, from the outputs and log-sum-exps over each."""
    if len(pieces) == 1:
        return pieces[0]
    lse = torch.logsumexp(torch.stack([sums for _, sums in pieces]), 0)
    output = sum(part.float() * torch.exp(sums - lse).unsqueeze(-1) for part, sums in pieces)
    return output.to(pieces[0][0].dtype), lse  # type: ignore[union-attr]
