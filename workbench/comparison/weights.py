"""Two models' weights tensor by tensor: how far each is from its counterpart, one pair in memory at a time."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

from workbench.models.placement import turn

if TYPE_CHECKING:
    from workbench.model import Model

BLOCK = 2**22
"""Numbers of each tensor compared at once: 32 MiB in float64."""
KINDS = ("attention q", "attention k", "attention v", "attention o", "MLP", "norm", "embedding", "other")
_OF = {
    "q_proj": "attention q", "k_proj": "attention k", "v_proj": "attention v", "o_proj": "attention o",
    "gate_proj": "MLP", "up_proj": "MLP", "down_proj": "MLP", "embed_tokens": "embedding", "lm_head": "embedding",
}  # fmt: skip
_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True)
class TensorDistance:
    """One tensor of a beside the one of the same name in b; a shape of None: that model has no such tensor.

    ``distance`` = ||b - a|| / ||a||, the relative Frobenius distance; ``largest`` = max |b - a|; ``cosine`` of the two
    as vectors. All NaN where the shapes differ. ``same``: equal number for number. ``squares``: the sums of (b - a)^2
    and of a^2, from which groups of tensors are put together.
    """

    name: str
    shape_a: tuple[int, ...] | None
    shape_b: tuple[int, ...] | None
    distance: float = math.nan
    largest: float = math.nan
    cosine: float = math.nan
    same: bool = False
    squares: tuple[float, float] = (math.nan, math.nan)

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        parts = self.name.split(".")
        return next((_OF[part] for part in parts if part in _OF), "norm" if "norm" in self.name else "other")

    @property
    def layer(self) -> int | None:
        """The decoder layer, None for what belongs to none."""
        found = _LAYER.search(self.name)
        return int(found.group(1)) if found else None

    def __str__(self) -> str:
        if self.shape_a is None or self.shape_b is None:
            return f"{self.name} (only in {'b' if self.shape_a is None else 'a'})"
        if self.shape_a != self.shape_b:
            return f"{self.name} (shape {list(self.shape_a)} against {list(self.shape_b)})"
        if math.isnan(self.distance):
            return f"{self.name} (holds numbers that are not finite)"
        return f"{self.name} (relative distance {self.distance:.2g})"


def names_of(a: Model, b: Model) -> list[str]:
    """The parameters of either model, those of a first; one that stands in two places (tied embeddings) once."""
    return list(dict.fromkeys([*_places(a.module), *_places(b.module)]))


def distances(a: Model, b: Model, stop: threading.Event | None = None) -> Iterator[TensorDistance]:
    """Each of `names_of` compared, in that order, as the models hold them: in the dtype they were loaded in, worked out
    in float64 a block at a time. Tensors that accelerate keeps elsewhere are fetched one at a time. Ends when ``stop``
    is set."""
    places = (_places(a.module), _places(b.module))
    for name in names_of(a, b):
        if stop is not None and stop.is_set():
            return
        one, other = (_fetched(model, place.get(name)) for model, place in zip((a, b), places, strict=True))
        yield _distance(name, one, other)


def _places(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Where each parameter stands: the module that has it and its name there."""
    found: dict[str, tuple[nn.Module, str]] = {}
    seen: set[int] = set()
    for prefix, owner in module.named_modules():
        for leaf, value in owner._parameters.items():
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                found[f"{prefix}.{leaf}"] = (owner, leaf)
    return found


def _fetched(model: Model, place: tuple[nn.Module, str] | None) -> Tensor | None:
    if place is None:
        return None
    owner, leaf = place
    value: Tensor = getattr(owner, leaf).detach()
    if value.device.type != "meta":
        return value
    with turn(model.module), align_module_device(owner, torch.device("cpu")):
        return getattr(owner, leaf).detach().clone()


@torch.inference_mode()
def _distance(name: str, a: Tensor | None, b: Tensor | None) -> TensorDistance:
    shapes = [None if one is None else tuple(one.shape) for one in (a, b)]
    if a is None or b is None or shapes[0] != shapes[1]:
        return TensorDistance(name, shapes[0], shapes[1])
    if a.data_ptr() == b.data_ptr() and a.dtype == b.dtype:  # a switched model computes with the very same weights
        return TensorDistance(name, shapes[0], shapes[1], 0.0, 0.0, 1.0, True, (0.0, 1.0))
    double = torch.float32 if a.device.type == "mps" else torch.float64  # that device has no double precision
    apart = square_a = square_b = product = largest = 0.0
    same = True
    for one, other in zip(a.reshape(-1).split(BLOCK), b.reshape(-1).split(BLOCK), strict=True):
        first, second = one.to(double), other.to(a.device).to(double)
        difference = second - first
        apart += float(difference.square().sum())
        square_a += float(first.square().sum())
        square_b += float(second.square().sum())
        product += float(torch.dot(first, second))
        top = float(difference.abs().max()) if len(difference) else 0.0
        largest = top if math.isnan(top) else max(largest, top)
        same = same and torch.equal(first, second)
    if same:
        return TensorDistance(name, shapes[0], shapes[1], 0.0, 0.0, 1.0, True, (0.0, square_a))
    distance = math.sqrt(apart / square_a) if square_a else math.inf
    norms = math.sqrt(square_a) * math.sqrt(square_b)
    cosine = product / norms if norms else math.nan
    return TensorDistance(name, shapes[0], shapes[1], distance, largest, cosine, False, (apart, square_a))


def tensor_table(found: tuple[TensorDistance, ...]) -> pd.DataFrame:
    """A row for each tensor, by name: kind, layer (NA for none), shape_a, shape_b, distance, largest, cosine, same."""
    rows = [(t.name, t.kind, t.layer, t.shape_a, t.shape_b, t.distance, t.largest, t.cosine, t.same) for t in found]
    names = ["name", "kind", "layer", "shape_a", "shape_b", "distance", "largest", "cosine", "same"]
    return pd.DataFrame(rows, columns=names).astype({"layer": "Int64"}).set_index("name")


def grouped_table(found: tuple[TensorDistance, ...]) -> pd.DataFrame:
    """Relative Frobenius distance by layer (rows; -1 for what belongs to none) and kind (columns): all numbers of the
    group taken as one vector. NaN where there is none, or the shapes differ."""
    sums: dict[tuple[int, str], list[float]] = {}
    for one in found:
        key = (-1 if one.layer is None else one.layer, one.kind)
        both = sums.setdefault(key, [0.0, 0.0])
        both[0] += one.squares[0]
        both[1] += one.squares[1]
    values = {key: _ratio(*both) for key, both in sums.items()}
    layers, kinds = sorted({key[0] for key in values}), [kind for kind in KINDS if any(k[1] == kind for k in values)]
    rows = [[values.get((layer, kind), math.nan) for kind in kinds] for layer in layers]
    return pd.DataFrame(rows, index=pd.Index(layers, name="layer"), columns=kinds, dtype=float)


def _ratio(apart: float, own: float) -> float:
    return 0.0 if apart == 0 else math.sqrt(apart / own) if own else math.inf
