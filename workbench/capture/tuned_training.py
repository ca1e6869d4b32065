"""Training the translators of a tuned lens: each layer learns to say what the model itself is about to say.

Source: Belrose et al., "Eliciting Latent Predictions from Transformers with the Tuned Lens" (2023), section 3: the loss
of a layer is the KL divergence from its reading to the model's own output; translators start as the identity. Theirs
took SGD with momentum; here it is AdamW with a linearly falling rate.
"""

from __future__ import annotations

import datetime
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from workbench.capture.observer import install, observing
from workbench.capture.tuned_lens import TunedLens, TunedLensRecord
from workbench.errors import WorkbenchError
from workbench.models.placement import turn

_ROWS = 512  # positions whose logits are held at once
_RATE = 1e-3
_WIDTH = 256  # of a stream up to which that rate suits the weights


@dataclass(frozen=True)
class TrainingProgress:
    """After ``step`` of ``steps``: the loss of every layer on that step's tokens, mean KL divergence in nats; at step 0
    and after the last, on the text held out."""

    step: int
    steps: int
    losses: list[float]
    held_out: bool


class _Stream:
    """The residual stream of one forward, all of it: an `Observer`."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []

    def wants_attention(self, layer: int) -> bool:
        return False

    def attention(self, *states: Any) -> None:
        raise AssertionError("not asked for")

    def wants_heads(self, layer: int) -> bool:
        return False

    def heads(self, *states: Any) -> None:
        raise AssertionError("not asked for")

    def residual(self, layer: int, hidden: Tensor) -> None:
        self.layers.append(hidden)


class TunedLensTraining:
    """Iterate it for a `TrainingProgress` a step; afterwards ``lens`` is the `TunedLens`, None when ``stop`` was set.

    ``model``: a `LoadedModel`, whose weights are not touched: several threads may go on using it. ``sequences`` are
    token ids to train on, each at most as long as one forward may be; ``held_out`` others, to measure on. ``source``
    says where they come from, for the record. ``steps`` share the sequences equally, or read them again when they are
    fewer than the steps. ``rate`` is AdamW's at the start; it falls to 0. Costs about 2 L unembeddings a token of an
    L-layer model, forward and backward, besides the forward that is learned from.
    """

    def __init__(
        self, model: Any, sequences: Sequence[Sequence[int]], held_out: Sequence[Sequence[int]],
        source: Mapping[str, str], *, steps: int = 200, seed: int = 0, rate: float = _RATE,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        if not any(map(len, sequences)) or not any(map(len, held_out)) or steps < 1:
            raise WorkbenchError(
                "There is too little text to train on", expected="tokens to train on, others to hold out, and a step",
                remedy="Give a longer text",
            )  # fmt: skip
        self.model, self.module = model, model.module
        install(self.module)
        self.sequences, self.held_out, self.source = list(sequences), list(held_out), dict(source)
        self.steps, self.seed, self.rate, self.stop = steps, seed, rate, stop or threading.Event()
        self.lens: TunedLens | None = None

    def __iter__(self) -> Iterator[TrainingProgress]:
        layers, width = self.model.layers, self.model.hidden
        zeros = torch.zeros(layers, width, width, device=self.model.device)
        before = self._measure(zeros, zeros[:, 0])
        scale, device = self._scales(), zeros.device
        del zeros
        yield TrainingProgress(0, self.steps, before, True)
        # A bias counts in units of its layer's stream, so that one rate suits all layers.
        weights = [nn.Parameter(torch.zeros(width, width, device=device)) for _ in range(layers)]
        biases = [nn.Parameter(torch.zeros(width, device=device)) for _ in range(layers)]
        # A step changes each weight by about the rate and what it writes by width times that: wide ones take less.
        groups = [{"params": weights, "lr": self.rate * min(1.0, _WIDTH / width)}, {"params": biases, "lr": self.rate}]
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / self.steps)
        tokens = 0
        for step, batch in enumerate(self._batches(), 1):
            if self.stop.is_set():
                return
            count = sum(map(len, batch))
            tokens += count
            losses = torch.zeros(layers)
            for parameter in (*weights, *biases):
                parameter.grad = torch.zeros_like(parameter)
            for stream, final in self._forwards(batch):
                for layer in range(layers):
                    pair = weights[layer], biases[layer]
                    with torch.enable_grad():
                        loss = self._loss(stream[layer], final, *pair, scale[layer]) / count
                    # Only the translators' own gradients: the model's parameters may be in use elsewhere.
                    for parameter, gradient in zip(pair, torch.autograd.grad(loss, pair), strict=True):
                        assert parameter.grad is not None
                        parameter.grad += gradient
                    losses[layer] += loss.item()
            for layer in range(layers):  # each layer is a problem of its own
                nn.utils.clip_grad_norm_([weights[layer], biases[layer]], 1.0)
            optimizer.step()
            schedule.step()
            yield TrainingProgress(step, self.steps, losses.tolist(), False)
        weight = torch.stack([part.detach() for part in weights])
        bias = torch.stack([part.detach() * size for part, size in zip(biases, scale, strict=True)])
        after = self._measure(weight, bias)
        self.lens = TunedLens(
            TunedLensRecord(
                model=self.model.name, weights=self.model.weights_hash, revision=self.model.revision, width=width,
                layers=layers, tokens=tokens, steps=self.steps, seed=self.seed, source=self.source,
                loss_before=before, loss_after=after,
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            ),
            weight, bias,
        )  # fmt: skip
        yield TrainingProgress(self.steps, self.steps, after, True)

    def _batches(self) -> Iterator[list[Sequence[int]]]:
        """The sequences in ``steps`` batches, in an order drawn by the seed; again from the start when they are few."""
        order = list(range(len(self.sequences)))
        random.Random(self.seed).shuffle(order)
        count = max(len(order), self.steps)
        for step in range(self.steps):
            first, last = (part * count // self.steps for part in (step, step + 1))
            yield [self.sequences[order[i % len(order)]] for i in range(first, last)]

    @torch.no_grad()
    def _forwards(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[list[Tensor], Tensor]]:
        """For some positions at a time: the stream (width by position) after each layer, and the model's own
        probabilities (positions, vocabulary) in float32."""
        for ids in sequences:
            seen = _Stream()
            with turn(self.module), observing(seen):
                device = self.model.device
                self.module(input_ids=torch.tensor([ids], device=device), use_cache=False, logits_to_keep=1)
            for start in range(0, len(ids), _ROWS):
                stream = [hidden[start : start + _ROWS] for hidden in seen.layers]
                yield stream, self._read(stream[-1]).softmax(-1)

    def _read(self, stream: Tensor) -> Tensor:
        with turn(self.module):
            return self.module.lm_head(self.module.model.norm(stream)).float()

    def _loss(self, stream: Tensor, final: Tensor, weight: Tensor, bias: Tensor, scale: float = 1.0) -> Tensor:
        """Sum over positions of the KL divergence in nats from the translated reading to ``final``. ``bias`` counts in
        units of ``scale``."""
        rows = stream.to(weight.device).float()
        rows = rows + linear(rows, weight) + bias * scale
        logits = self._read(rows.to(stream.dtype)).to(final.device)
        own = torch.xlogy(final, final).sum()
        return own - torch.linalg.vecdot(final, logits).sum() + logits.logsumexp(-1).sum()

    def _scales(self) -> list[float]:
        """Root mean square of the stream at each layer, over the first sequence held out."""
        stream, _ = next(self._forwards(self.held_out[:1]))
        return [float(hidden.float().square().mean().sqrt()) for hidden in stream[:-1]]

    @torch.no_grad()
    def _measure(self, weight: Tensor, bias: Tensor) -> list[float]:
        """Mean KL divergence by layer on the text held out."""
        sums, count = torch.zeros(len(weight)), sum(map(len, self.held_out))
        for stream, final in self._forwards(self.held_out):
            for layer in range(len(weight)):
                sums[layer] += self._loss(stream[layer], final, weight[layer], bias[layer]).item()
        return (sums / count).clamp(min=0).tolist()


def divided(sequences: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """Sequences to train on and the last tenth, at least one, to hold out."""
    out = max(1, len(sequences) // 10)
    return list(sequences[:-out]), list(sequences[-out:])
