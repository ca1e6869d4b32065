"""Next-token distributions of two models on the same ids, exactly: one forward of each, whole distributions compared
a block of positions at a time and never kept."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.capture.lens import top_k_blocked
from workbench.capture.observer import install, observing
from workbench.capture.positions import Choice, choose, some
from workbench.errors import ComparisonError, ContextLengthError
from workbench.generation.prefill import new_cache
from workbench.models.placement import turn

if TYPE_CHECKING:
    from workbench.model import Model

TOP = 5
CHUNK = 512
"""Tokens of one step: both models have read as many after each."""
LOGITS = 2**22
"""Logits of each model held at once: 16 MiB in float32."""


@dataclass(frozen=True)
class Divergence:
    """What two models say next at the same places of one text. Index i speaks of position ``positions[i]`` (n,): both
    have read the ids up to it, and predict the token after it.

    kl_ab = KL(a || b) = sum p_a (log p_a - log p_b) and kl_ba (n,), in nats, over the whole vocabulary in float64;
    entropy_a, entropy_b (n,) nats; logprob_a, logprob_b (n,) and rank_a, rank_b (n,) of the token that really came
    next, NaN and 0 after the last one. top_a and top_b (n, TOP): each model's best candidates; top_a_by_b: what model b
    gives to those of a, log-probabilities in nats, and so on. ``pieces`` spells the candidates, ``by`` names the
    models.
    """

    by: tuple[str, str]
    positions: np.ndarray
    kl_ab: np.ndarray
    kl_ba: np.ndarray
    entropy_a: np.ndarray
    entropy_b: np.ndarray
    logprob_a: np.ndarray
    logprob_b: np.ndarray
    rank_a: np.ndarray
    rank_b: np.ndarray
    top_a: np.ndarray
    top_a_by_a: np.ndarray
    top_a_by_b: np.ndarray
    top_b: np.ndarray
    top_b_by_a: np.ndarray
    top_b_by_b: np.ndarray
    pieces: dict[int, str] = field(default_factory=dict, repr=False)

    def place(self, index: int) -> int | None:
        """Where the prediction of the token at ``index`` stands in the arrays; None when it was not measured."""
        at = int(np.searchsorted(self.positions, index - 1))
        return at if at < len(self.positions) and int(self.positions[at]) == index - 1 else None


class _LastLayer:
    """An observer that keeps the residual stream after the last layer, of one forward."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self.hidden: Tensor | None = None

    def wants_attention(self, layer: int) -> bool:
        return False

    def wants_heads(self, layer: int) -> bool:
        return False

    def attention(self, *_: Any) -> None: ...

    def heads(self, *_: Any) -> None: ...

    def residual(self, layer: int, hidden: Tensor) -> None:
        if layer == self._layers:
            self.hidden = hidden


def measure(
    model_a: Model, model_b: Model, ids: Sequence[int], positions: Choice = "all",
    stop: threading.Event | None = None,
) -> Divergence:  # fmt: skip
    """The `Divergence` of two models on ``ids`` at ``positions`` (absolute; negative ones from the end).

    Raises ComparisonError when the models do not share a vocabulary or ``stop`` was set, ContextLengthError when the
    text is longer than either can read.
    """
    steps = measuring(model_a, model_b, ids, positions, stop)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Divergence = end.value
            return found


def measuring(
    model_a: Model, model_b: Model, ids: Sequence[int], positions: Choice = "all",
    stop: threading.Event | None = None,
) -> Generator[int, None, Divergence]:  # fmt: skip
    """`measure` in steps: yields how many tokens both models have read, and returns the result."""
    ids = [int(token) for token in ids]
    check(model_a, model_b, len(ids))
    if wrong := [token for token in ids if not 0 <= token < model_a.vocab_size]:
        raise ComparisonError(f"There is no token {wrong[0]}", expected=f"ids of 0 to {model_a.vocab_size - 1}")
    picked = choose(positions, len(ids), "position")
    some(picked, "position", "exact")
    wanted = np.array(picked, np.int64)
    parts: list[dict[str, np.ndarray]] = []
    readers = [reading(model) for model in (model_a, model_b)]
    for start in range(0, int(wanted[-1]) + 1, CHUNK):
        if stop is not None and stop.is_set():
            raise ComparisonError("The measurement was stopped", remedy="Measure again")
        fed = ids[start : start + CHUNK]
        at = wanted[(wanted >= start) & (wanted < start + len(fed))]
        streams = [reader(fed, at - start) for reader in readers]
        targets = np.array([ids[p + 1] if p + 1 < len(ids) else -1 for p in at], np.int64)
        step = max(1, LOGITS // model_a.vocab_size)
        for low in range(0, len(at), step):
            part = slice(low, low + step)
            logits_a, logits_b = unembedded(model_a, streams[0][part]), unembedded(model_b, streams[1][part])
            parts.append(compared(logits_a, logits_b, torch.from_numpy(targets[part])))
        yield start + len(fed)
    arrays = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    known = np.unique(np.concatenate([arrays["top_a"].reshape(-1), arrays["top_b"].reshape(-1)])).tolist()
    pieces = dict(zip(known, model_a.tokenizer.pieces(known), strict=True))
    return Divergence((model_a.name, model_b.name), wanted.astype(np.int32), **arrays, pieces=pieces)


def check(model_a: Model, model_b: Model, tokens: int) -> None:
    """Raises ComparisonError for models without a common vocabulary, ContextLengthError for a text one cannot read."""
    if model_a.tokenizer.sha256 != model_b.tokenizer.sha256 or model_a.vocab_size != model_b.vocab_size:
        raise ComparisonError(
            f"{model_a.name} and {model_b.name} have different tokenizers",
            expected="two models with the same vocabulary",
            remedy="Compare models that share a tokenizer",
        )
    for model in (model_a, model_b):
        if not 0 < tokens <= model.context:
            raise ContextLengthError(
                f"The text has {tokens} tokens", expected=f"1 to {model.context} for {model.name}",
                remedy="Shorten the text",
            )  # fmt: skip


def reading(model: Model) -> Any:
    """A function that feeds ids after those fed before, and gives the final residual stream of some of them."""
    module: Any = model.module
    install(module)
    cache, layers = new_cache(module), model.layers
    device = module.get_input_embeddings().weight.device
    device = device if device.type != "meta" else None

    def read(ids: list[int], rows: np.ndarray) -> Tensor:
        observer = _LastLayer(layers)
        with turn(module), torch.inference_mode(), observing(observer):
            module(
                input_ids=torch.tensor([ids], device=device), past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        assert observer.hidden is not None
        return observer.hidden[torch.from_numpy(rows).to(observer.hidden.device)]

    return read


def unembedded(model: Model, hidden: Tensor) -> Tensor:
    """Float32 logits (rows, vocabulary) by the model's own norm and unembedding, on its device."""
    module: Any = model.module
    norm: nn.Module = module.model.norm
    with turn(module), torch.inference_mode():
        logits: Tensor = module.lm_head(norm(hidden)).float()
    return logits


@torch.inference_mode()
def compared(a: Tensor, b: Tensor, targets: Tensor) -> dict[str, np.ndarray]:
    """The arrays of a `Divergence` for finite logits ``a`` and ``b`` (rows, vocabulary) in float32; ``targets`` (rows,)
    are ids, -1 for none."""
    b, targets = b.to(a.device), targets.to(a.device)
    known = targets >= 0
    at = targets.clamp(min=0)[:, None]
    best_a, best_b = (top_k_blocked(logits, min(TOP, logits.shape[-1]))[1] for logits in (a, b))
    found: dict[str, Tensor] = {"top_a": best_a, "top_b": best_b}
    for name, logits in (("a", a), ("b", b)):
        above = torch.gt(logits, logits.gather(-1, at)).float().sum(-1)  # summing booleans is five times slower
        found[f"rank_{name}"] = (above + 1) * known
    (p_a, log_a), (p_b, log_b) = distribution(a), distribution(b)
    for name, p, logs in (("a", p_a, log_a), ("b", p_b, log_b)):
        found[f"entropy_{name}"] = -torch.linalg.vecdot(p, logs)
        found[f"logprob_{name}"] = logs.gather(-1, at)[:, 0].masked_fill(~known, float("nan"))
        found[f"top_a_by_{name}"], found[f"top_b_by_{name}"] = logs.gather(-1, best_a), logs.gather(-1, best_b)
    apart = log_a.sub_(log_b)
    found["kl_ab"] = torch.linalg.vecdot(p_a, apart).clamp_(min=0)
    found["kl_ba"] = (-torch.linalg.vecdot(p_b, apart)).clamp_(min=0)
    whole = ("rank_a", "rank_b", "top_a", "top_b")
    return {
        name: values.cpu().numpy().astype(np.int32 if name in whole else np.float32) for name, values in found.items()
    }


def distribution(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and log-probabilities (rows, vocabulary) in float64, with one exponential an entry."""
    double = logits.dtype if logits.device.type == "mps" else torch.float64  # that device has no double precision
    logs = logits.to(double)
    logs = logs.sub_(logs.amax(-1, keepdim=True)) if logs is not logits else logs - logs.amax(-1, keepdim=True)
    p = logs.exp()
    total = p.sum(-1, keepdim=True)
    return p.div_(total), logs.sub_(total.log())
