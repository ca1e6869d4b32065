"""What to record while a model reads and writes: `Capture` and its parts, checked and bounded before the run."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.errors import CaptureError

Positions = Literal["last", "generated", "all"] | int | slice | Sequence[int]
Choice = Literal["all"] | int | slice | Sequence[int]

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
        _settle(self, "layers", "heads", "rows", "pool", "sink_tokens", "recent", "reach")
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
        _settle(self, "layers", "positions", "top_k")


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
            _some(choose(wanted.layers, model.layers, "layer"), "layer of attention", "attention=None")
            _some(choose(wanted.heads, model.heads, "head"), "head", "attention=None")
            if wanted.rows is not None:
                chosen(wanted.rows, tokens, "row")
            for name, least in (("pool", 0), ("sink_tokens", 1), ("recent", 1), ("reach", 1)):
                value = getattr(wanted, name)
                if not (_whole(value) and least <= value < 2**31) and not (name == "reach" and value is None):
                    raise CaptureError(f"{name} is {value!r}", expected=f"an integer of at least {least}, below 2^31")
        if self.lens is not None:
            _some(choose(self.lens.layers, model.layers + 1, "lens layer"), "layer of the lens", "lens=None")
            chosen(self.lens.positions, tokens, "position")
            if not _whole(self.lens.top_k) or not 1 <= self.lens.top_k <= 100:
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


def block_size(tokens: int, pool: int) -> int:
    """Tokens a block so that ``tokens`` make at most ``pool`` blocks; 1 when they fit as they are."""
    return max(1, -(-tokens // max(1, pool)))


def choose(wanted: Choice, size: int, noun: str) -> list[int]:
    """The chosen indices of ``size`` layers or heads, ascending; CaptureError when one does not exist."""
    if isinstance(wanted, str):
        if wanted != "all":
            raise CaptureError(f'{noun}s are "{wanted}"', expected=f'"all", integers or a slice of 0 to {size - 1}')
        return list(range(size))
    if isinstance(wanted, slice):
        try:
            return sorted(range(size)[wanted])
        except (TypeError, ValueError):  # ends that are no numbers, a step of 0
            raise CaptureError(f"{noun}s are {wanted}", expected="a slice of whole numbers") from None
    picked: list[Any] = list(wanted) if isinstance(wanted, list | tuple | range) else [wanted]
    for index in picked:
        if not _whole(index) or not -size <= index < size:
            raise CaptureError(
                f"{noun} {index} does not exist",
                expected=f"{noun}s 0 to {size - 1}",
                remedy=f"Choose among the {size} {noun}s of this model",
            )
    return sorted({index % size for index in picked})


def chosen(wanted: Positions, tokens: int, noun: str) -> set[int] | None:
    """The chosen positions of a prompt of ``tokens`` as a set; None for "all". Negative ones count from its end."""
    if isinstance(wanted, str):
        if wanted not in ("last", "generated", "all"):
            raise CaptureError(f'{noun}s are "{wanted}"', expected='"last", "generated", "all", integers or a slice')
        return None if wanted == "all" else {tokens - 1}
    return set(choose(wanted, tokens, noun))


def count(wanted: Positions, tokens: int, new_tokens: int) -> int:
    """How many positions `chosen` names in a run that reads ``tokens`` and generates up to ``new_tokens``."""
    if isinstance(wanted, str) and wanted == "all":
        return tokens + new_tokens
    picked = chosen(wanted, tokens, "position")
    return len(picked or ()) + (new_tokens if isinstance(wanted, str) else 0)


def _settle(part: Any, *names: str) -> None:
    """Make the numbers of these fields Python's own, as numpy and torch give them too; what is none stays, and `check`
    refuses it. An iterator would be used up by the first look at it."""
    for name in names:
        value = getattr(part, name)
        if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", None) != 0:
            value = [_number(item) for item in value]
        elif isinstance(value, slice):
            value = slice(_number(value.start), _number(value.stop), _number(value.step))
        else:
            value = _number(value)
        object.__setattr__(part, name, value)


def _number(value: Any) -> Any:
    """``value`` as an int where it is a whole number; True and False are none."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _some(picked: list[int], noun: str, without: str) -> None:
    if not picked:
        raise CaptureError(f"No {noun} is chosen", expected="at least one", remedy=f"Set {without} to record none")
