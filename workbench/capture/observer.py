"""The one bridge into transformers: a registered attention function, a registered mask function, layer hooks.

`install` puts it into a model once. From then on every request may carry an `Observer` in a context variable; threads
that share the model each see their own, and a request without one runs plain SDPA. Nothing is patched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from workbench.capture.kernel import attend

NAME = "workbench"
SEEN = "_workbench_seen"
"""What a cache that drops keys says about those it hands on, as an attribute of their tensor: see `say_seen`."""
PARTS = "_workbench_parts"
"""What a cache of several texts says about the keys it hands on: see `say_parts`."""
_OBSERVER: ContextVar[Observer | None] = ContextVar("workbench_observer", default=None)


class Observer(Protocol):
    """What looks on while a forward runs; batch of one. One that wants attention of a cache that drops keys has also
    ``kept(layer, query, key, kept, window, scale)``: as `attention`, and a `Kept` tells where each key stands."""

    def wants_attention(self, layer: int) -> bool:
        """Whether `attention` should be called for this layer."""

    def attention(
        self, layer: int, query: Tensor, key: Tensor, lse: Tensor | None, window: int | None, scale: float
    ) -> None:
        """``query`` (heads, n, head_dim) and ``key`` (kv_heads, m, head_dim) after RoPE; the last key is the last
        query's own. ``lse`` (heads, n) is given for n > 1."""

    def wants_heads(self, layer: int) -> bool:
        """Whether `heads` should be called for this layer."""

    def heads(self, layer: int, output: Tensor, project: nn.Module) -> None:
        """``output`` (n, heads, head_dim): what each head read, as handed to ``project``, the output projection, which
        takes (rows, heads * head_dim)."""

    def residual(self, layer: int, hidden: Tensor) -> None:
        """``hidden`` (n, width): the residual stream after ``layer`` layers; 0 is the embedding."""


@dataclass(frozen=True)
class Kept:
    """The keys of a cache that drops some: ``positions`` (1 or kv_heads, m) in the text, ascending; ``seen`` (1 or
    kv_heads, n, m), True where one of the n queries sees a key. None: every query sees every key before its own, and
    the n last keys are the queries' own."""

    positions: Tensor
    seen: Tensor | None


@contextlib.contextmanager
def observing(observer: Observer | None) -> Iterator[None]:
    """Let ``observer`` see the forwards of this thread inside the block. Do not yield to a caller inside it."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def install(module: Any) -> None:
    """Put the bridge into a Mistral model, once; doing it again changes nothing."""
    if getattr(module, "_workbench_bridge", False):
        return
    AttentionInterface.register(NAME, observed_attention)
    AttentionMaskInterface.register(NAME, observed_mask)
    module.set_attn_implementation(NAME)
    layers = module.model.layers
    layers[0].register_forward_pre_hook(_before_first, with_kwargs=True)
    for index, layer in enumerate(layers):
        layer.register_forward_hook(_after(index + 1))
    module._workbench_bridge = True


def observed_mask(
    batch_size: int, q_length: int, kv_length: int, q_offset: int = 0, kv_offset: int = 0,
    attention_mask: Tensor | None = None, **others: Any,
) -> Tensor | None:  # fmt: skip
    """No mask, when `observed_attention` can do without: one sequence without padding, no gradient, no preallocated
    cache. Otherwise the mask of transformers, which sends the attention down its own path. A T x T mask is 1 GiB at
    32k tokens."""
    plain = (
        batch_size == 1
        and (attention_mask is None or bool(attention_mask.all()))
        and not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and isinstance(q_offset, int)
        and kv_offset + kv_length == q_offset + q_length
    )
    if plain:
        return None
    others["allow_is_causal_skip"] = False  # the window of a skipped mask would be lost
    return sdpa_mask(
        batch_size=batch_size, q_length=q_length, kv_length=kv_length, q_offset=q_offset, kv_offset=kv_offset,
        attention_mask=attention_mask, **others,
    )  # fmt: skip


def observed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, sliding_window: int | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention output ``(batch, queries, heads, head_dim)``; the request's observer, if any, is shown the states."""
    if (parts := getattr(key, PARTS, None)) is not None:
        queries_of = query.split([n for n, _, _ in parts], 2)
        found = [
            observed_attention(module, own, keys, values, None, scaling, dropout, sliding_window, **others)[0]
            for own, (_, keys, values) in zip(queries_of, parts, strict=True)
        ]
        return torch.cat(found, 1), None
    kept: Kept | None = getattr(key, SEEN, None)
    window = sliding_window
    if kept is not None:
        sliding_window = None  # `kept` knows positions; an index is none where keys were dropped
        if attention_mask is not None:
            raise RuntimeError("A cache that drops keys is read without padding and without gradients")
        if kept.seen is not None:
            attention_mask = _by_head(kept.seen, query.shape[1])
    if attention_mask is not None or torch.is_grad_enabled():
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        output = _heard(module, output)
        if kept is not None and not torch.is_grad_enabled():
            _tell(module, query, key, output, kept, window, scaling)
        return output, None
    layer: int = module.layer_idx  # type: ignore[assignment]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    observer = _OBSERVER.get()
    watched = observer is not None and kept is None and observer.wants_attention(layer)
    queries, keys = query.shape[2], key.shape[2]
    fits = sliding_window is None or keys <= sliding_window
    lse: Tensor | None = None
    if fits and (queries == 1 or (queries == keys and not watched)):
        output, _ = sdpa_attention_forward(module, query, key, value, None, scaling=scale, **others)
    else:
        merged, sums = attend(query, key, value, sliding_window, scale)
        output, lse = merged.transpose(1, 2).contiguous(), sums[0] if queries > 1 else None
    output = _heard(module, output)
    if kept is not None:
        _tell(module, query, key, output, kept, window, scaling)
        return output, None
    if watched:
        assert observer is not None
        observer.attention(layer, query[0], key[0], lse, sliding_window, scale)
    if observer is not None and observer.wants_heads(layer):
        observer.heads(layer, output[0], module.o_proj)  # type: ignore[arg-type]
    return output, None


def say_seen(key: Tensor, kept: Kept) -> None:
    """Let the attention that is handed ``key`` (1, kv_heads, m, head_dim) go by ``kept`` instead of by order: for
    caches that dropped some."""
    setattr(key, SEEN, kept)


def _tell(
    module: nn.Module, query: Tensor, key: Tensor, output: Tensor, kept: Kept, window: int | None, scaling: float | None
) -> None:
    """Show the request's observer, if any, what was read of a cache that dropped keys."""
    observer = _OBSERVER.get()
    if observer is None:
        return
    layer: int = module.layer_idx  # type: ignore[assignment]
    if observer.wants_attention(layer):
        show = getattr(observer, "kept", None)
        if show is None:
            raise RuntimeError(f"{type(observer).__name__} cannot look at a cache that drops keys")
        show(layer, query[0], key[0], kept, window, query.shape[-1] ** -0.5 if scaling is None else scaling)
    if observer.wants_heads(layer):
        observer.heads(layer, output[0], module.o_proj)  # type: ignore[arg-type]


def say_parts(key: Tensor, parts: list[tuple[int, Tensor, Tensor]]) -> None:
    """Let the attention that is handed ``key`` be that of several texts, one behind the other: of each how many of the
    queries are its own, and its keys and values (1, kv_heads, m, head_dim), the last of which are the queries' own.
    For forwards that nothing observes."""
    setattr(key, PARTS, parts)


def _by_head(seen: Tensor, heads: int) -> Tensor:
    """``seen`` (1 or kv_heads, n, m) as a mask (1, 1 or heads, n, m)."""
    return seen[None] if len(seen) == 1 else seen.repeat_interleave(heads // len(seen), 0)[None]


def _heard(module: nn.Module, output: Tensor) -> Tensor:
    """``output`` (batch, queries, heads, head_dim) with nothing from the heads that `models.switches` made silent."""
    silent: tuple[int, ...] | None = vars(module).get("silent")
    if not silent:
        return output
    kept = torch.ones(output.shape[2], dtype=torch.bool, device=output.device)
    kept[list(silent)] = False
    return torch.where(kept[:, None], output, 0)


def _before_first(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if (observer := _OBSERVER.get()) is not None:
        observer.residual(0, (args[0] if args else kwargs["hidden_states"])[0])


def _after(layer: int) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if (observer := _OBSERVER.get()) is not None:
            observer.residual(layer, (output[0] if isinstance(output, tuple) else output)[0])

    return hook
