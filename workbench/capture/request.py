"""What to record while a model reads and writes: `Capture` and its parts, checked and bounded before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.capture.cost import Estimate, estimate, result_bytes
from workbench.capture.fitting import differences, nearest_that_fits
from workbench.capture.positions import Choice, Positions, choose, chosen, settle, some, whole
from workbench.errors import CaptureError

if TYPE_CHECKING:
    from workbench.capture.tuned_lens import TunedLens

LARGEST_RESULT = 2 * 1024**3
"""Bytes of results a capture may hold before it is refused."""


@dataclass(frozen=True)
class AttentionCapture:
    """Attention of chosen layers and heads.

    rows: query positions whose exact probabilities are kept ("last": the last token read, at every decoding step).
    pool: the pooled map has at most this many blocks a side (0: no map). maximum: a map of the largest probability in
    each cell besides the mean one. statistics: per-head summaries by query block, and what every key receives. sample:
    maps and column sums from this many query rows of each block of the prompt instead of all (even; None: all rows),
    with their standard errors: a quick look. states: keep queries and keys after RoPE, so that any row or column can be
    computed exactly later without a forward. sink_tokens: how many first tokens count as the attention sink. recent:
    how many last keys, the query's own included, count as recent. reach: the window that `inside_window` measures; None
    takes the model's own, or an eighth of its context when it has none (the window of the v0.1 sibling: 4096 of 32768).
    """

    layers: Choice = "all"
    heads: Choice = "all"
    rows: Positions | None = "last"
    pool: int = 256
    maximum: bool = False
    statistics: bool = True
    sample: int | None = None
    states: bool = False
    sink_tokens: int = 4
    recent: int = 32
    reach: int | None = None

    def __post_init__(self) -> None:
        settle(self, "layers", "heads", "rows", "pool", "sample", "sink_tokens", "recent", "reach")
        for name in ("maximum", "statistics", "states"):
            object.__setattr__(self, name, bool(getattr(self, name)))


@dataclass(frozen=True)
class LensCapture:
    """Logit lens: at chosen positions, each layer's residual stream read through the final norm and the unembedding.

    layers count 0 (embeddings) to L (the model's own output). positions "generated": those that chose a token, the
    last prompt token among them. top_k tokens are kept a layer and position.

    blocks: a coarse lens of the whole run besides (0: none; 64 is plenty): in each of at most this many equal blocks of
    prompt and reply, per_block positions spread evenly are read out and summed up. translators: a `TunedLens` or the
    file of one, which makes both a tuned lens; the file is read here and now.
    """

    layers: Choice = "all"
    positions: Positions = "generated"
    top_k: int = 5
    blocks: int = 0
    per_block: int = 4
    translators: TunedLens | str | Path | None = None

    def __post_init__(self) -> None:
        settle(self, "layers", "positions", "top_k", "blocks", "per_block")
        if self.translators is not None:
            from workbench.capture.tuned_lens import TunedLens  # needs torch, which a request without one does not

            if isinstance(self.translators, str | Path):
                object.__setattr__(self, "translators", TunedLens.load(self.translators))
            elif not isinstance(self.translators, TunedLens):
                raise CaptureError(
                    f"translators are a {type(self.translators).__name__}", expected="a TunedLens or the file of one"
                )


@dataclass(frozen=True)
class AttributionCapture:
    """Direct logit attribution: what the embedding, each layer's attention and MLP, and each head (heads=True) write
    straight into the logit of a token, at chosen positions.

    positions as in `LensCapture`. tokens "next": the token that came next, or the likeliest where none did (the end of
    a prompt that is only inspected); or up to 64 token ids, explained at every position. Working out heads costs about
    as much as reading ``heads`` more tokens a position through the attention outputs; heads=False avoids it.
    """

    positions: Positions = "generated"
    tokens: Literal["next"] | Sequence[int] = "next"
    heads: bool = True

    def __post_init__(self) -> None:
        settle(self, "positions", "tokens")
        if whole(self.tokens):
            object.__setattr__(self, "tokens", [self.tokens])
        object.__setattr__(self, "heads", bool(self.heads))

    @property
    def choices(self) -> int:
        """How many tokens are explained at a position."""
        return 1 if isinstance(self.tokens, str) else len(self.tokens)


@dataclass(frozen=True)
class Capture:
    """What one request records. ``Capture()`` records exact last rows, pooled maps, statistics, lens and KV cache;
    ``Capture.nothing()`` only tokens and their probabilities; ``Capture.full()`` what a viewer needs for any click.
    Direct logit attribution is recorded when asked for: ``Capture(attribution=AttributionCapture())``.
    """

    attention: AttentionCapture | None = field(default_factory=AttentionCapture)
    lens: LensCapture | None = field(default_factory=LensCapture)
    kv_cache: bool = True
    attribution: AttributionCapture | None = None

    def __post_init__(self) -> None:
        kinds = (("attention", AttentionCapture), ("lens", LensCapture), ("attribution", AttributionCapture))
        for name, kind in kinds:
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
        return result_bytes(self, model, tokens, new_tokens)

    def estimate(self, model: Any, tokens: int, new_tokens: int = 0) -> Estimate:
        """What this capture of a prompt of ``tokens`` and up to ``new_tokens`` more on ``model`` will cost: bytes of
        its results, memory while it runs, and time against the run without capture. Print it for a sentence. Raises
        CaptureError when a layer, head or position does not exist; not when the results would be too large.
        """
        self._check_names(model, tokens)
        return estimate(self, model, tokens, new_tokens)

    def nearest_that_fits(self, model: Any, tokens: int, new_tokens: int = 0, most: int | None = None) -> Capture:
        """This capture where its results take at most ``most`` bytes (`LARGEST_RESULT`), else the nearest that do: the
        least valuable is given up first (`fitting.STEPS`)."""
        self._check_names(model, tokens)
        return nearest_that_fits(self, model, tokens, new_tokens, LARGEST_RESULT if most is None else most)

    def check(self, model: Any, tokens: int, new_tokens: int = 0) -> None:
        """Raise CaptureError when a layer, head or position does not exist or the results would be too large, which
        names the nearest setting that fits (`nearest_that_fits`)."""
        self._check_names(model, tokens)
        parts = self.bytes(model, tokens, new_tokens)
        if sum(parts.values()) > LARGEST_RESULT:
            worst = max(parts, key=parts.__getitem__)
            smaller = differences(self, self.nearest_that_fits(model, tokens, new_tokens))
            raise CaptureError(
                f"This capture would hold {sum(parts.values()) / 1024**3:.1f} GiB, "
                f"{parts[worst] / 1024**3:.1f} of it {worst}",
                expected=f"at most {LARGEST_RESULT / 1024**3:.0f} GiB",
                remedy=f"The nearest that fits: {smaller}" if smaller else "Take a shorter prompt",
            )

    def _check_names(self, model: Any, tokens: int) -> None:
        """CaptureError when a setting is impossible or names a layer, head or position that does not exist."""
        if (wanted := self.attention) is not None:
            some(choose(wanted.layers, model.layers, "layer"), "layer of attention", "attention=None")
            some(choose(wanted.heads, model.heads, "head"), "head", "attention=None")
            if wanted.rows is not None:
                chosen(wanted.rows, tokens, "row")
            for name, least in (("pool", 0), ("sink_tokens", 1), ("recent", 1), ("reach", 1)):
                value = getattr(wanted, name)
                if not (whole(value) and least <= value < 2**31) and not (name == "reach" and value is None):
                    raise CaptureError(f"{name} is {value!r}", expected=f"an integer of at least {least}, below 2^31")
            if (sample := wanted.sample) is not None and not (whole(sample) and 2 <= sample < 2**31 and not sample % 2):
                raise CaptureError(
                    f"sample is {sample!r}", expected="an even number of rows a block, or None for all of them"
                )
        if self.lens is not None:
            some(choose(self.lens.layers, model.layers + 1, "lens layer"), "layer of the lens", "lens=None")
            chosen(self.lens.positions, tokens, "position")
            if not whole(self.lens.top_k) or not 1 <= self.lens.top_k <= 100:
                raise CaptureError(f"top_k is {self.lens.top_k!r}", expected="1 to 100 tokens a layer and position")
            if not whole(self.lens.blocks) or not 0 <= self.lens.blocks <= 4096:
                raise CaptureError(f"blocks is {self.lens.blocks!r}", expected="0 (none) to 4096 blocks")
            if not whole(self.lens.per_block) or not 1 <= self.lens.per_block <= 64:
                raise CaptureError(f"per_block is {self.lens.per_block!r}", expected="1 to 64 positions a block")
        if self.attribution is not None:
            chosen(self.attribution.positions, tokens, "position")
            _check_tokens(self.attribution.tokens, getattr(model, "vocab_size", 2**31))


def _check_tokens(wanted: Any, vocabulary: int) -> None:
    """CaptureError when these are neither "next" nor 1 to 64 ids of the vocabulary, none twice."""
    if isinstance(wanted, str) and wanted == "next":
        return
    listed = isinstance(wanted, list) and 1 <= len(wanted) <= 64
    if not listed or not all(whole(i) and 0 <= i < vocabulary for i in wanted) or len(set(wanted)) < len(wanted):
        raise CaptureError(
            f"tokens are {repr(wanted)[:60]}", expected=f'"next", or 1 to 64 different token ids below {vocabulary}'
        )
