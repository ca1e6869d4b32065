"""What a capture costs before it runs: bytes of its results, memory on the way, and time against a plain forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.capture.positions import block_size, choose, count

if TYPE_CHECKING:
    from workbench.capture.request import AttentionCapture, Capture

CHUNK = 2048
"""Tokens of a prompt that are read at once."""
_STATISTICS = 9
_STEP = 64  # bytes of a generated token: six numbers, the ids and log-probabilities of five alternatives
_SCRATCH = 24 * 2**20  # tiles of scores, scaled queries and packed keys of one layer's chunk, as measured
_LOGITS = 2**23  # the lens's budget of logits at once; twice: logits and their probabilities
_WORDS = 200  # bytes a token of Python's own: pieces, roles, positions of repeats

# Time of one of each, in multiply-adds of a linear layer (float32 on an AVX2 processor).
_CORE, _CORE_CELL = 1.0, 6.0  # attention itself: a multiply-add, and a cell's softmax
_PASS = {True: (0.5, 20.0, 15.0), False: (1.0, 130.0, 55.0)}
"""Compiled or PyTorch: a multiply-add of the second look at a cell, the rest of its sums, its maximum."""
_GATHER = 9.0  # a multiply-add where single keys are looked up
_ROW_CELL = 500.0  # a cell of an exact row, worked out and written down
_LOGIT = 150.0  # softmax, entropy, rank and top k of one logit
_DECODE = 16.0  # a weight read from memory for one new token


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, before it runs.

    parts: bytes of the results by part, which come out as said when the run goes to its full length. peak: bytes that
    capture holds at most, the results among them; a process grows by less where the forward has room to spare.
    factor: time against the same run without capture (which is transformers' own forward, or quicker where the model
    has a window); from multiply-adds, with constants measured in float32 on one kind of processor: to within a third
    on a CPU, a hint elsewhere.
    """

    parts: dict[str, int]
    peak: int
    factor: float

    @property
    def total(self) -> int:
        """Bytes of all results: what `Inspection.nbytes` will be."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        largest = sorted(((size, name) for name, size in self.parts.items() if size), reverse=True)
        named = ", ".join(f"{name.replace('_', ' ')} {readable(size)}" for size, name in largest[:4])
        rest = sum(size for size, _ in largest[4:])
        more = f", other {readable(rest)}" if rest else ""
        return (
            f"about {self.factor:.2g} x a plain forward, {readable(self.total)} of results: {named}{more}; "
            f"at most {readable(self.peak)} of memory while it runs"
        )


def readable(size: int) -> str:
    """Bytes as 3 significant digits: 812 B, 16.8 MB, 2.10 GB (powers of 1000)."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.3g} {unit}"


def estimate(capture: Capture, model: Any, tokens: int, new_tokens: int = 0) -> Estimate:
    """The `Estimate` of reading ``tokens`` on ``model`` and generating ``new_tokens``."""
    parts = result_bytes(capture, model, tokens, new_tokens)
    return Estimate(
        parts, _peak(capture, model, tokens, new_tokens, parts), _factor(capture, model, tokens, new_tokens)
    )


def result_bytes(capture: Capture, model: Any, tokens: int, new_tokens: int = 0) -> dict[str, int]:
    """Bytes of the arrays of an `Inspection` by part, of a prompt of ``tokens`` and all of ``new_tokens`` generated."""
    total = tokens + new_tokens
    read = total - (new_tokens > 0)  # the last token generated is never fed
    parts = {"tokens": 4 * total + _STEP * new_tokens}
    if (wanted := capture.attention) is not None:
        layers, heads = _chosen(wanted, model)
        each = 4 * layers * heads
        if wanted.rows is not None:
            rows = _positions(wanted.rows, tokens, new_tokens)
            parts["rows"] = each * rows * read + 4 * rows
        size = block_size(total, wanted.pool or 256)
        blocks = -(-read // size)
        parts["map"] = each * blocks**2 * (1 + wanted.maximum) if wanted.pool else 0
        parts["statistics"] = (each * (_STATISTICS * blocks + read) + 8 * blocks) * wanted.statistics
        if wanted.sample is not None and wanted.sample < size <= tokens and (wanted.pool or wanted.statistics):
            parts["statistics"] += each * (1 + 2 * wanted.statistics)  # standard errors
        parts["states"] = 4 * layers * ((heads + model.kv_heads) * model.head_dim + heads) * read * wanted.states
    if (lens := capture.lens) is not None:
        layers, positions = (
            len(choose(lens.layers, model.layers + 1, "layer")),
            _positions(lens.positions, tokens, new_tokens),
        )
        parts["lens"] = positions * (layers * (8 * lens.top_k + 16) + 8)
        if lens.blocks:
            parts["lens"] += (12 * layers + 4) * -(-total // block_size(total, lens.blocks))
    if (explained := capture.attribution) is not None:
        by_layer = model.layers * (2 + model.heads * explained.heads)
        positions = _positions(explained.positions, tokens, new_tokens)
        parts["attribution"] = 4 * positions * (1 + explained.choices * (by_layer + 3))
    if capture.kv_cache:
        parts["kv_cache"] = model.layers * (8 * model.kv_heads * read + 32 * max(1, new_tokens) + 40)
    return parts


def _positions(wanted: Any, tokens: int, new_tokens: int) -> int:
    """How many positions a whole run keeps: the last token generated has none."""
    return count(wanted, tokens, max(0, new_tokens - 1))


def _chosen(wanted: AttentionCapture, model: Any) -> tuple[int, int]:
    return len(choose(wanted.layers, model.layers, "layer")), len(choose(wanted.heads, model.heads, "head"))


def _peak(capture: Capture, model: Any, tokens: int, new_tokens: int, parts: dict[str, int]) -> int:
    """Bytes beyond a run without capture, at the worse of two moments: while the prompt is read, and when the running
    sums of all layers are turned into results beside them."""
    width = _width(model)
    sums, ready, chunk = 0, sum(parts.values()), min(CHUNK, tokens)
    if (wanted := capture.attention) is not None:
        layers, heads = _chosen(wanted, model)
        blocks = -(-(tokens + new_tokens) // block_size(tokens + new_tokens, wanted.pool or 256))
        one = 4 * layers * heads * blocks**2
        if wanted.pool or wanted.statistics:
            sampled = wanted.sample is not None
            sums += one * (1 + wanted.maximum + sampled) + 4 * layers * heads * (tokens + new_tokens + 11 * blocks)
            ready += one * (1 + wanted.maximum)  # copies on the way to a mean or a probability
        sums += parts.get("rows", 0) + parts["states"]
        ready += parts["states"] * 2 // 3
        sums += _SCRATCH
    if (lens := capture.lens) is not None:
        kept = len({*choose(lens.layers, model.layers + 1, "layer"), model.layers})
        at_once = min(chunk, _positions(lens.positions, tokens, new_tokens))
        logits = min(2 * _LOGITS, 2 * kept * max(at_once, lens.per_block * bool(lens.blocks)) * _vocabulary(model))
        sums += 4 * (3 * kept * at_once * width + logits)
    if (explained := capture.attribution) is not None:
        at_once = min(chunk, _positions(explained.positions, tokens, new_tokens))
        state = (model.layers + 1) * width + model.layers * model.heads * model.head_dim
        sums += 4 * (3 * at_once * state + 2 * min(2**24, 2 * at_once * _vocabulary(model)))
    return max(sums, parts["tokens"]) + ready + _WORDS * (tokens + new_tokens)


def _factor(capture: Capture, model: Any, tokens: int, new_tokens: int) -> float:
    """Time with capture over time without."""
    width, size, vocabulary = _width(model), model.head_dim, _vocabulary(model)
    config = getattr(getattr(model, "module", None), "config", None)
    inner = getattr(config, "intermediate_size", None) or 7 * width // 2  # as in Mistral 7B
    weights = model.layers * (2 * width * size * (model.heads + model.kv_heads) + 3 * width * inner)
    window = getattr(model, "window", None)
    cells = seen(tokens, window)
    plain = tokens * weights + width * vocabulary
    plain += model.layers * model.heads * cells * (2 * size * _CORE + _CORE_CELL)
    plain += _DECODE * new_tokens * (weights + width * vocabulary)
    added = 0.0
    if (wanted := capture.attention) is not None:
        layers, heads = _chosen(wanted, model)
        product, cell, highest = _PASS[_compiled(model)]
        if wanted.pool or wanted.statistics:
            block = block_size(tokens + new_tokens, wanted.pool or 256)
            share = min(1.0, wanted.sample / block) if wanted.sample else 1.0
            each = size * product + cell + highest * wanted.maximum
            later = seen(tokens + new_tokens, window) - cells
            added += layers * heads * (cells * share + later) * each
        looks = (wanted.recent + wanted.sink_tokens + 128) * wanted.statistics
        added += layers * heads * (tokens + new_tokens) * looks * size * _GATHER
        if wanted.rows is not None:
            rows = _positions(wanted.rows, tokens, new_tokens)
            added += layers * heads * rows * min(tokens, window or tokens) * _ROW_CELL
    if (lens := capture.lens) is not None:
        kept = len({*choose(lens.layers, model.layers + 1, "layer"), model.layers})
        positions = _positions(lens.positions, tokens, new_tokens) + lens.blocks * lens.per_block
        added += kept * positions * vocabulary * (width + _LOGIT)
    if (explained := capture.attribution) is not None:
        by_head = model.layers * model.heads**2 * size * width * explained.heads
        positions = _positions(explained.positions, tokens, new_tokens)
        added += positions * (3 * vocabulary * width + model.layers * model.heads * size * width + 2 * by_head)
    return 1.0 + added / plain


def seen(tokens: int, window: int | None) -> int:
    """Pairs of a query and a key that it sees."""
    if window is None or window >= tokens:
        return tokens * (tokens + 1) // 2
    return window * (window + 1) // 2 + (tokens - window) * window


def _width(model: Any) -> int:
    return int(getattr(model, "hidden", 0) or model.heads * model.head_dim)


def _vocabulary(model: Any) -> int:
    return int(getattr(model, "vocab_size", 32000))


def _compiled(model: Any) -> bool:
    """Whether the pass over the cells will be the compiled one."""
    from workbench.capture.native import library  # needs torch, which a request does not

    device = getattr(model, "device", None)
    return (device is None or getattr(device, "type", device) == "cpu") and library() is not None
