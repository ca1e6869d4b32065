"""Direct logit attribution: what each part of the model writes straight into the logit of one token.

A logit is linear in the residual stream once the final norm's scale is known: for token t with unembedding row w,
``logit = (stream / rms(stream)) · (gain * w)``, and the stream is the embedding plus every attention and MLP output.
Each is projected on that direction, with the scale of the position as it was. "Direct" leaves out what a part does by
feeding later ones. Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021), and Wang et al.,
"Interpretability in the Wild" (2022), who use it by head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from workbench.capture.positions import Reading
from workbench.capture.request import AttributionCapture

_NUMBERS = 2**24  # held at once while reading out: 64 MiB in float32
_BATCH = 16  # generated tokens read out together

Projection = Callable[[Tensor], Tensor]
"""A layer's output projection: (rows, heads * head_dim) to (rows, width). Called as it is, quantised or offloaded."""


@dataclass
class AttributionResult:
    """Contributions to logits, float32; K tokens are explained at each of Q positions.

    positions (Q,), token_ids (Q, K); logit (Q, K): the model's own; embedding (Q, K); attention and mlp (L, Q, K);
    heads (L, H, Q, K) or None: the parts of attention. ``embedding + attention.sum(0) + mlp.sum(0)`` is the logit up to
    float32 rounding in a float32 model. In bf16 and fp16 the sum is that of the unrounded final norm, and the model's
    logit differs by the rounding of norm and unembedding; adding up the stream rounds too, and mlp, taken as the
    difference of the streams around the layer less its attention, has those roundings; heads differ from attention in
    sum by the rounding of their own projections.
    """

    positions: np.ndarray
    token_ids: np.ndarray
    logit: np.ndarray
    embedding: np.ndarray
    attention: np.ndarray
    mlp: np.ndarray
    heads: np.ndarray | None


@dataclass
class _Rows:
    """What is kept of some positions (n of them) until their next token is known."""

    at: list[int]
    stream: Tensor  # (layers + 1, n, width)
    heads: list[Tensor]  # a layer each, on its own device: (n, heads, head_dim)

    def part(self, which: slice) -> _Rows:
        return _Rows(self.at[which], self.stream[:, which], [z[which] for z in self.heads])


class AttributionRecorder:
    """Keeps the stream and the heads' outputs at the wanted positions, and reads them out in batches.

    ``tokens``, ``heads``: of the `AttributionCapture`. ``epsilon`` is the final norm's. norm, unembedding and the
    projections are only called, never read, so that quantised and offloaded ones serve as well.
    """

    def __init__(
        self, wanted: AttributionCapture, reading: Reading, layers: int, heads: int, norm: nn.Module,
        unembedding: nn.Module, epsilon: float,
    ) -> None:  # fmt: skip
        self.layers, self.heads = layers, heads if wanted.heads else 0
        self._reading, self._tokens = reading, wanted.tokens
        self._norm, self._unembedding, self._epsilon = norm, unembedding, epsilon
        self._stream: dict[int, Tensor] = {}
        self._heads: dict[int, Tensor] = {}
        self._projections: dict[int, Projection] = {}
        self._waiting: list[_Rows] = []
        self._done: list[tuple[list[int], dict[str, Tensor]]] = []

    def read(self, ids: list[int]) -> None:
        """Tell the tokens about to be fed."""
        self._reading.read(ids)

    def resume(self, ids: list[int]) -> None:
        """``ids`` were fed to an earlier run, which this one goes on from."""
        self._reading.resume(ids)

    def wants_among(self, tokens: int) -> bool:
        """Whether a position of the first ``tokens`` is wanted."""
        return bool(self._reading.among(0, tokens))

    @property
    def looks(self) -> bool:
        """Whether this forward has a wanted position."""
        return bool(self._reading.at)

    def absorb(self, layer: int, hidden: Tensor) -> None:
        """Keep the wanted rows of ``hidden`` (n, width), the residual stream after ``layer`` layers."""
        if self.looks:
            self._stream[layer] = hidden[self._reading.rows]

    def absorb_heads(self, layer: int, output: Tensor, project: Projection) -> None:
        """Keep the wanted rows of ``output`` (n, heads, head_dim), what the heads of ``layer`` hand to ``project``."""
        self._heads[layer] = output[self._reading.rows]
        self._projections[layer] = project

    def end_forward(self) -> None:
        """Close one forward; read out once enough positions wait."""
        if not self.looks:
            return
        stream = [self._stream[i] for i in range(self.layers + 1)]
        device = stream[-1].device
        heads = [self._heads[i] for i in range(self.layers)]
        self._waiting.append(_Rows(self._reading.at, torch.stack([rows.to(device) for rows in stream]), heads))
        self._stream, self._heads = {}, {}
        if sum(len(rows.at) for rows in self._waiting) > _BATCH:
            self._read_out(len(self._reading.ids) - 1)

    def chose(self, token: int) -> None:
        """The last token generated, which is never fed."""
        self._reading.chose(token)

    def result(self) -> AttributionResult:
        """Everything recorded, positions ascending."""
        self._read_out(len(self._reading.ids) + 1)
        choices = 1 if isinstance(self._tokens, str) else len(self._tokens)
        shapes = {
            "token_ids": (0, choices), "logit": (0, choices), "embedding": (0, choices),
            "attention": (self.layers, 0, choices), "mlp": (self.layers, 0, choices),
            "heads": (self.layers, self.heads, 0, choices),
        }  # fmt: skip
        found = {
            name: torch.cat([part[name] for _, part in self._done], -2).numpy() if self._done else np.zeros(shape, "f4")
            for name, shape in shapes.items()
        }
        return AttributionResult(
            np.array([p for at, _ in self._done for p in at], np.int32),
            found["token_ids"].astype(np.int32), found["logit"], found["embedding"], found["attention"], found["mlp"],
            found["heads"] if self.heads else None,
        )  # fmt: skip

    def _read_out(self, before: int) -> None:
        """Read out the waiting positions below ``before``; their next tokens are known."""
        if not self._waiting:
            return
        together = _Rows(
            [p for rows in self._waiting for p in rows.at],
            torch.cat([rows.stream for rows in self._waiting], 1),
            [torch.cat(layer) for layer in zip(*(rows.heads for rows in self._waiting), strict=True)],
        )
        ready = sum(p < before for p in together.at)
        self._waiting = []
        if ready < len(together.at):
            rest = together.part(slice(ready, None))  # cloned: a view would keep the rows already read out
            self._waiting = [_Rows(rest.at, rest.stream.clone(), [z.clone() for z in rest.heads])]
        for start in range(0, ready, step := self._step(together)):
            rows = together.part(slice(start, min(ready, start + step)))
            self._done.append((rows.at, self._explain(rows)))

    def _step(self, rows: _Rows) -> int:
        """Positions read out at once: their logits, directions and heads' parts are bounded."""
        width, choices = rows.stream.shape[-1], 1 if isinstance(self._tokens, str) else len(self._tokens)
        heads = rows.heads[0].shape[1] * rows.heads[0].shape[2] if rows.heads else 0
        vocabulary = getattr(self._unembedding, "out_features", 2**15)
        return max(1, _NUMBERS // (2 * vocabulary + 2 * choices * width + self.heads * (width + heads)))

    @torch.inference_mode()
    def _explain(self, rows: _Rows) -> dict[str, Tensor]:
        """The contributions at some positions, on the CPU; names and shapes as in `AttributionResult`."""
        final = rows.stream[-1]
        logits = self._unembedding(self._norm(final)).float()
        if isinstance(self._tokens, str):
            follows = torch.tensor(self._reading.next_tokens(rows.at), device=logits.device)
            ids = torch.where(follows < 0, logits.argmax(-1), follows)[:, None]
        else:
            ids = torch.tensor(self._tokens, device=logits.device).expand(len(rows.at), -1)
        logit = logits.gather(-1, ids)
        del logits
        distinct, places = ids.unique(return_inverse=True)
        directions = unembedding_rows(self._unembedding, distinct.tolist(), final)
        # norm(1) is the gain over sqrt(1 + epsilon); in float32 nothing of a half-precision gain is lost.
        gain = self._norm(torch.ones_like(final[:1], dtype=torch.float32)).float() * (1 + self._epsilon) ** 0.5
        scale = torch.rsqrt(final.float().square().mean(-1) + self._epsilon)
        home = directions.device  # norm, layers and unembedding may be spread over several
        along = (directions * gain.to(home))[places.to(home)] * scale.to(home)[:, None, None]  # (n, K, width)

        def onto(part: Tensor) -> Tensor:
            """(..., n, width) to (..., n, K)."""
            return torch.einsum("...nd,nkd->...nk", part.to(along.device).float(), along)

        stream = [one.to(home).float() for one in rows.stream]
        attention, mlp, heads = [], [], []
        for layer, states in enumerate(rows.heads):
            project = self._projections[layer]
            attention.append(onto(project(states.flatten(1))))
            mlp.append(onto(stream[layer + 1] - stream[layer]) - attention[-1])
            if self.heads:
                heads.append(onto(by_head(project, states)))
        found = {"token_ids": ids, "logit": logit, "embedding": onto(rows.stream[0])}
        found |= {"attention": torch.stack(attention), "mlp": torch.stack(mlp)}
        found["heads"] = torch.stack(heads) if heads else torch.zeros(self.layers, 0, *ids.shape)
        return {name: values.cpu() for name, values in found.items()}


def by_head(project: Projection, states: Tensor) -> Tensor:
    """(heads, n, width): what each head of ``states`` (n, heads, head_dim) writes into the stream. The projection sees
    rows in which all other heads are zero, so it may be any linear module."""
    n, heads, size = states.shape
    alone = states.new_zeros(heads, n, heads, size)
    alone[range(heads), :, range(heads)] = states.transpose(0, 1)
    return project(alone.view(heads * n, heads * size)).view(heads, n, -1)


def unembedding_rows(unembedding: nn.Module, ids: list[int], like: Tensor) -> Tensor:
    """(ids, width) float32: the unembedding's rows of these tokens, as the gradient of their logits, which is exact for
    a linear map and needs no look at weights that are quantised or elsewhere. ``like`` gives width, dtype, device."""
    with torch.inference_mode(False), torch.enable_grad():
        probe = torch.zeros(len(ids), like.shape[-1], dtype=like.dtype, device=like.device, requires_grad=True)
        logits = unembedding(probe)
        each = logits.gather(-1, torch.tensor(ids, device=logits.device)[:, None]).sum()
        return torch.autograd.grad(each, probe)[0].float()
