"""What to record while a model reads and writes: `Capture` and its parts, checked and bounded before the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.capture.positions import Choice, Positions, block_size, choose, chosen, count, settle, some, whole
from workbench.errors import CaptureError

LARGEST_RESULT = 2 * 1024**3
"""Bytes of results a capture may hold before it is refused."""


@dataclass(frozen=True)
class AttentionCapture:
    """Attention of chosen layers and heads.

    rows: query positions whose exact probabilities are kept ("last": the last token read, at every decoding step).
    pool: the pooled map has at most this many blocks a side (0: no map). statistics: per-head summaries by query block.
    states: keep queries and keys after RoPE, so that any row or column can be computed exactly later without a forward.
    sink_tokens: how many first tokens count as the attention sink. recent: how many last keys, the query's own
    included, count as recent. reach: the window that `inside_window` measures; None takes the model's own, or an eighth
    of its context when it has none (the window of the v0.1 sibling: 4096 of 32768).
    """

    layers: Choice = "all"
    heads: Choice = "all"
    rows: Positions | None = "last"
    pool: int = 256
    statistics: bool = True
    states: bool = False
    sink_tokens: int = 4
    recent: int = 32
    reach: int | None = None

    def __post_init__(self) -> None:
        settle(self, "layers", "heads", "rows", "pool", "sink_tokens", "recent", "reach")
        for name in ("statistics", "states"):
            object.__setattr__(self, name, bool(getattr(self, name)))


@dataclass(frozen=True)
class LensCapture:
    """Logit lens: at chosen positions, each layer's residual stream read through the final norm and the unembedding.

    layers count 0 (embeddings) to L (the model's own output). positions "generated": those that chose a token, the
    last prompt token among them. top_k tokens are kept a layer and position.
    """

    layers: Choice = "all"
    positions: Positions = "generated"
    top_k: int = 5

    def __post_init__(self) -> None:
        settle(self, "layers", "positions", "top_k")


@dataclass(frozen=True)
class Capture:
    """What one request records. ``Capture()`` records exact last rows, pooled maps, statistics, lens and KV cache;
    ``Capture.nothing()`` only tokens and their probabilities; ``Capture.full()`` what a viewer needs for any click.
    """

    attention: AttentionCapture | None = field(default_factory=AttentionCapture)
    lens: LensCapture | None = field(default_factory=LensCapture)
    kv_cache: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("attention", AttentionCapture), ("lens", LensCapture)):
            part = getattr(self, name)
            if part is not None and not isinstance(part, kind):
                raise CaptureError(f"{name} is {part!r}", expected=f"{kind.__name__}(...), or None to leave it out")
        object.__setattr__(self, "kv_cache", bool(self.kv_cache))

    @classmethod
    def nothing(cls) -> Capture:
        return cls(attention=None, lens=None, kv_cache=False)

    @classmethod
    def full(cls, top_k: int = 5) -> Capture:
        return cls(AttentionCapture(states=True), LensCapture(positions="all", top_k=top_k), kv_cache=True)

    def bytes(self, model: Any, tokens: int, new_tokens: int = 0) -> dict[str, int]:
        """Bytes of the results by part for ``model`` (layers, heads, kv_heads, head_dim) and a prompt of ``tokens``."""
        total = tokens + new_tokens
        parts: dict[str, int] = {}
        if (wanted := self.attention) is not None:
            layers, heads = (
                len(choose(wanted.layers, model.layers, "layer")),
                len(choose(wanted.heads, model.heads, "head")),
            )
            rows = count(wanted.rows, tokens, new_tokens) if wanted.rows is not None else 0
            parts["rows"] = 4 * layers * heads * rows * total
            blocks = -(-total // block_size(total, wanted.pool)) if wanted.pool else 0
            parts["map"] = 4 * layers * heads * blocks**2
            parts["statistics"] = (
                4 * 9 * layers * heads * -(-total // block_size(total, wanted.pool or 256)) * wanted.statistics
            )
            parts["states"] = 4 * layers * (heads + model.kv_heads) * model.head_dim * total * wanted.states
        if self.lens is not None:
            layers = len(choose(self.lens.layers, model.layers + 1, "layer"))
            parts["lens"] = layers * count(self.lens.positions, tokens, new_tokens) * (8 * self.lens.top_k + 16)
        if self.kv_cache:
            parts["kv_cache"] = 8 * model.layers * model.kv_heads * total
        return parts

    def check(self, model: Any, tokens: int, new_tokens: int = 0) -> None:
        """Raise CaptureError when a layer, head or position does not exist or the results would be too large."""
        if (wanted := self.attention) is not None:
            some(choose(wanted.layers, model.layers, "layer"), "layer of attention", "attention=None")
            some(choose(wanted.heads, model.heads, "head"), "head", "attention=None")
            if wanted.rows is not None:
                chosen(wanted.rows, tokens, "row")
            for name, least in (("pool", 0), ("sink_tokens", 1), ("recent", 1), ("reach", 1)):
                value = getattr(wanted, name)
                if not (whole(value) and least <= value < 2**31) and not (name == "reach" and value is None):
                    raise CaptureError(f"{name} is {value!r}", expected=f"an integer of at least {least}, below 2^31")
        if self.lens is not None:
            some(choose(self.lens.layers, model.layers + 1, "lens layer"), "layer of the lens", "lens=None")
            chosen(self.lens.positions, tokens, "position")
            if not whole(self.lens.top_k) or not 1 <= self.lens.top_k <= 100:
                raise CaptureError(f"top_k is {self.lens.top_k!r}", expected="1 to 100 tokens a layer and position")
        parts = self.bytes(model, tokens, new_tokens)
        if sum(parts.values()) > LARGEST_RESULT:
            worst = max(parts, key=parts.__getitem__)
            remedies = {
                "rows": 'Keep fewer rows (rows="last") and set states=True for exact rows later',
                "map": "Use a smaller pool or fewer layers",
                "lens": 'Use fewer positions (positions="generated") or layers',
                "states": "Keep fewer layers or set states=False",
            }
            if wanted is not None and wanted.rows in ("last", "generated"):
                remedies["rows"] = "Keep one row (rows=[-1]), fewer layers, or generate fewer tokens"
            raise CaptureError(
                f"This capture would hold {sum(parts.values()) / 1024**3:.1f} GiB, "
                f"{parts[worst] / 1024**3:.1f} of it {worst}",
                expected=f"at most {LARGEST_RESULT / 1024**3:.0f} GiB",
                remedy=remedies.get(worst, "Capture fewer layers"),
            )
