"""Logit lens: each layer's residual stream at chosen positions, read through the final norm and the unembedding.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020). Layer 0 is the embedding, layer L the model's output.
With translators it is the tuned lens: each layer's stream passes its own affine map first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from workbench.capture.positions import Reading, choose
from workbench.capture.request import LensCapture
from workbench.capture.tuned_lens import TunedLens

_BLOCK = 128  # vocabulary entries a block in `top_k`
_LOGITS = 2**23  # logits held at once: 32 MiB in float32
_BATCH = 16  # generated tokens read out together: the unembedding is read from memory once for all of them


@dataclass
class LensResult:
    """Numpy arrays over (layer, position): entropy and kl (final layer from this one) in nats, target_rank (1 = top),
    target_logprob; (layer, position, rank): top_ids, top_logprobs; target_ids (position,): the actual next token, -1
    where there is none (then rank is 0 and log-probability NaN)."""

    layers: list[int]
    positions: np.ndarray
    target_ids: np.ndarray
    top_ids: np.ndarray
    top_logprobs: np.ndarray
    entropy: np.ndarray
    kl: np.ndarray
    target_rank: np.ndarray
    target_logprob: np.ndarray


class LensRecorder:
    """Keeps the residual stream at the wanted positions until the next token is known, then reads it out in batches."""

    def __init__(
        self, wanted: LensCapture, reading: Reading, layers: int, norm: nn.Module, unembedding: nn.Linear
    ) -> None:
        self.layers = choose(wanted.layers, layers + 1, "lens layer")
        self.depth, self.top_k, self._reading = layers + 1, wanted.top_k, reading
        self._norm, self._unembedding = norm, unembedding
        self._translators = wanted.translators if isinstance(wanted.translators, TunedLens) else None
        # The final layer is always kept: the divergence is taken from it.
        self._kept = sorted({*self.layers, layers})
        self._stream: list[Tensor | None] = [None] * self.depth
        self._scratch = Scratch()
        self._waiting: list[tuple[list[int], Tensor]] = []
        self._done: list[tuple[list[int], dict[str, Tensor]]] = []

    def read(self, ids: list[int]) -> None:
        """Tell the tokens about to be fed."""
        self._reading.read(ids)

    def resume(self, ids: list[int]) -> None:
        """``ids`` were fed to an earlier run, which this one goes on from."""
        self._reading.resume(ids)

    @property
    def tokens(self) -> int:
        """Tokens of the run so far."""
        return len(self._reading.ids)

    def absorb(self, layer: int, hidden: Tensor) -> None:
        """Keep the wanted rows of ``hidden`` (n, width), the residual stream after ``layer`` layers."""
        if self._reading.at and layer in self._kept:
            self._stream[layer] = hidden[self._reading.rows]

    def end_forward(self) -> None:
        """Close one forward; read out once enough positions wait, so that the waiting rows stay few."""
        if self._reading.at:
            kept = [row for row in self._stream if row is not None]
            self._waiting.append((self._reading.at, torch.stack([row.to(kept[-1].device) for row in kept])))
            self._stream = [None] * self.depth
        if sum(len(at) for at, _ in self._waiting) > _BATCH:
            self._read_out(len(self._reading.ids) - 1)

    def look(self, position: int, target: int) -> dict[str, np.ndarray] | None:
        """The lens of one position recorded so far, by layer, with ``target`` as its next token; None when not kept.
        Names as in `LensResult`, without the position dimension."""
        for at, found in self._done:
            if position in at:
                return {name: values[:, at.index(position)].numpy() for name, values in found.items()}
        for at, rows in self._waiting:
            if position in at:
                i = at.index(position)
                one = self._lens(rows[:, i : i + 1], [target])
                return {name: values[:, 0].numpy() for name, values in one.items()}
        return None

    def chose(self, token: int) -> None:
        """The last token generated, which is never fed: it is the target of the last position read."""
        self._reading.chose(token)

    def _lens(self, rows: Tensor, targets: list[int]) -> dict[str, Tensor]:
        """The lens of ``rows`` (kept layers, positions, width), of the layers asked for."""
        translators = self._translators
        translate = None if translators is None else lambda part: translators.translate(part, self._kept)
        wanted = torch.tensor(targets)
        found = read_out(self._norm, self._unembedding, rows, wanted, self.top_k, translate, self._scratch)
        return {name: values[: len(self.layers)] for name, values in found.items()}

    def _read_out(self, before: int) -> None:
        """Read out the waiting positions below ``before``; their next tokens are known."""
        if not self._waiting:
            return
        positions = [p for at, _ in self._waiting for p in at]
        rows = torch.cat([kept for _, kept in self._waiting], 1)
        ready = sum(p < before for p in positions)
        self._waiting = [(positions[ready:], rows[:, ready:].clone())] if ready < len(positions) else []
        if not ready:
            return
        targets = self._reading.next_tokens(positions[:ready])
        self._done.append((positions[:ready], self._lens(rows[:, :ready], targets)))

    def result(self) -> LensResult:
        """Everything recorded; a last position without a next token has target -1."""
        self._read_out(len(self._reading.ids) + 1)
        positions = np.array([p for at, _ in self._done for p in at], np.int32)
        targets = self._reading.next_tokens(positions.tolist())
        parts = {
            name: np.concatenate([part[name].numpy() for _, part in self._done], 1)
            if self._done
            else np.zeros(
                (len(self.layers), 0) + ((self.top_k,) if name.startswith("top") else ()),
                np.int32 if name in ("top_ids", "target_rank") else np.float32,
            )
            for name in ("top_ids", "top_logprobs", "entropy", "kl", "target_rank", "target_logprob")
        }
        return LensResult(self.layers, positions, np.array(targets, np.int32), **parts)


class Scratch:
    """Two buffers of logits, kept between read-outs: fresh ones of tens of megabytes cost as much as what is worked
    out in them, because the system hands over every page anew."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, rows: int, columns: int, device: torch.device) -> Tensor:
        """An uninitialised float32 buffer (rows, columns)."""
        size = rows * columns
        known = self._buffers.get(name)
        if known is None or known.numel() < size or known.device != device:
            known = self._buffers[name] = torch.empty(size, device=device)
        return known[:size].view(rows, columns)


@torch.inference_mode()
def read_out(
    norm: nn.Module, unembedding: nn.Linear, residual: Tensor, targets: Tensor, top_k: int = 5,
    translate: Callable[[Tensor], Tensor] | None = None, scratch: Scratch | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Lens of ``residual`` (layers, positions, width), whose last layer is the model's final one, on the CPU.

    Returns top_ids, top_logprobs (layers, positions, top_k), entropy, kl, target_logprob in nats and target_rank
    (layers, positions). ``targets`` (positions,) are token ids, -1 for none. ``translate`` is applied to the stream
    first, shape kept. Logits are held for a few positions at a time: never layers x positions x vocabulary; in
    ``scratch``, where one is given.
    """
    scratch = scratch or Scratch()
    layers, positions, width = residual.shape
    vocabulary = unembedding.weight.shape[0]
    step = max(1, _LOGITS // (layers * vocabulary))
    parts: list[dict[str, Tensor]] = []
    for start in range(0, positions, step):
        rows = residual[:, start : start + step]
        n = rows.shape[1]
        rows = rows if translate is None else translate(rows)
        logits = _logits(unembedding, norm(rows.reshape(-1, width)), scratch).view(layers, n, vocabulary)
        best, ids = (found.view(layers, n, top_k) for found in top_k_blocked(logits.view(-1, vocabulary), top_k))
        probability = scratch.take("probability", layers * n, vocabulary, logits.device).view(logits.shape)
        torch.softmax(logits, -1, out=probability)
        lse = best[..., 0] - probability.gather(-1, ids[..., :1])[..., 0].log()
        entropy = lse - torch.linalg.vecdot(probability, logits)
        cross = torch.linalg.vecdot(probability[-1:], logits)  # expected logit under the final layer's distribution
        wanted = targets[start : start + step].to(logits.device)
        known = wanted >= 0
        at_target = logits.gather(-1, wanted.clamp(min=0).expand(layers, -1)[..., None])
        above = torch.gt(logits, at_target, out=probability).sum(-1)  # as floats: summing booleans is five times slower
        parts.append(
            {
                "top_ids": ids.int(),
                "top_logprobs": best - lse[..., None],
                "entropy": entropy,
                "kl": ((cross[-1] - lse[-1])[None] - (cross - lse)).clamp_(min=0),
                "target_rank": (above + 1).int() * known,
                "target_logprob": (at_target[..., 0] - lse).masked_fill(~known, float("nan")),
            }
        )
    return {name: torch.cat([part[name] for part in parts], 1).cpu() for name in parts[0]}


def _logits(unembedding: nn.Linear, rows: Tensor, scratch: Scratch) -> Tensor:
    """Float32 logits (rows, vocabulary); an unembedding that is more than a float32 matrix (quantized, offloaded) is
    called as the model calls it."""
    weight = unembedding.weight
    plain = type(unembedding) is nn.Linear and unembedding.bias is None and not hasattr(unembedding, "_hf_hook")
    if not plain or weight.dtype != torch.float32 or rows.dtype != torch.float32 or rows.device != weight.device:
        return unembedding(rows).float()
    return torch.mm(rows, weight.T, out=scratch.take("logits", rows.shape[0], weight.shape[0], rows.device))


def top_k_blocked(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest values and their indices, each (rows, k), descending: exact, and quicker than `topk` on a long
    row. The k largest lie in the k blocks with the largest maxima, so only those are searched."""
    rows, size = logits.shape
    if size % _BLOCK or size <= _BLOCK * k:
        return logits.topk(k, -1)
    blocks = logits.view(rows, -1, _BLOCK)
    best = blocks.amax(-1).topk(k, -1).indices
    values, at = blocks.gather(1, best[..., None].expand(-1, -1, _BLOCK)).view(rows, -1).topk(k, -1)
    return values, best.gather(1, at // _BLOCK) * _BLOCK + at % _BLOCK
