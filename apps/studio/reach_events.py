"""Reach and RoPE: how far back a query looks through window and layers, what rotary pairs can tell apart, and the reach
measured on a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from apps.studio.asked_grid import whole
from apps.studio.grid_shown import rows
from apps.studio.jobs import Told
from apps.studio.named_models import Named, Offered
from apps.studio.shelf import title
from apps.studio.studio import Studio
from workbench.capture.cost import readable
from workbench.context.induction import repeated
from workbench.context.reach import MOST_GRADIENT, Reach, reach, reach_by_change, receptive_field, seen
from workbench.context.rope import similarity, slow_pairs, wavelengths
from workbench.errors import ContextLengthError, WorkbenchError
from workbench.model import Model
from workbench.models.registry import SPECS
from workbench.models.shape import ModelShape

PUBLISHED = ("v0.1", "v0.2")
MOST_TOKENS = 1_000_000
MOST_BYTES = 2**30
"""Of attention probabilities in float64 that a gradient may keep."""
POINTS = 240
"""Distances that a picture has."""
TRIED = 14
"""Tokens that are replaced, one after the other, where no gradient fits."""


class ReachEvents:
    """Everything but the measurement is arithmetic on a config; the 7B pair needs no weights for it."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._offered = studio, Offered(studio.shelf)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.reach_known, self.reach_shown, self.reach_measure]

    def reach_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": offered ones, "context": tokens of the shortest one's}"""
        contexts = [one.context for one in self._studio.shelf.ready().values()]
        return {"models": [one.as_json() for one in self._offered.named()], "context": min(contexts)}

    def reach_shown(self, request: dict[str, Any]) -> dict[str, Any]:
        """For {"tokens", "pair": "page" or "7B"}: {"models": [{name, window, layers, theta, head_dim, context, field
        (by layer 0 ..), seen [first, last] by the last query, reach}], "ropes": [{theta, head_dim, names, slow (pairs
        slower than the text), pairs, wavelengths, similarity [[distance, value]]}]}"""
        tokens = whole(request, "tokens", 2, MOST_TOKENS)
        if request.get("pair") == "7B":
            shapes = [(name, ModelShape.of(name), float(SPECS[name].theta or 0)) for name in PUBLISHED]
        else:
            models = list(self._studio.shelf.ready().items())
            shapes = [(title(name), ModelShape.of(model), float(model.theta)) for name, model in models]
        found = []
        for name, shape, theta in shapes:
            field = receptive_field(shape.window, shape.layers, tokens)
            keys = seen(shape.window, tokens - 1)
            found.append({
                "name": name, "window": shape.window, "layers": shape.layers, "theta": theta,
                "head_dim": shape.head_dim, "context": shape.context, "field": field.tolist(), "reach": shape.reach,
                "seen": [keys.start, keys.stop - 1],
            })  # fmt: skip
        ropes = dict.fromkeys((theta, shape.head_dim) for _, shape, theta in shapes)
        return {
            "tokens": tokens, "models": found,
            "ropes": [_rope(theta, size, [n for n, s, t in shapes if (t, s.head_dim) == (theta, size)], tokens)
                      for theta, size in ropes],
        }  # fmt: skip

    def reach_measure(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"model": id, "tokens", "method": "gradient" or "change"}: {title, method, measured, expected,
        tokens, points [{distance, influence}], said, code}"""
        named = next((one for one in self._offered.named() if one.id == request.get("model")), None)
        if named is None:
            raise WorkbenchError("No model was chosen", expected="one of the list")
        method, tokens = request.get("method"), whole(request, "tokens", 2, MOST_TOKENS)
        if method not in ("gradient", "change"):
            raise WorkbenchError("There is no such method", expected="gradient or change")
        self._studio.admission.check_prompt(tokens, "wb.reach")

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": None, "said": "loading the model"}
            model = self._offered.model(named)
            ids = repeated(model.vocab_size, (tokens + 1) // 2, 0)[:tokens]
            if method == "gradient":
                _fits(model, tokens)
                yield {"share": None, "said": "one gradient, in float64"}
                return measured(reach(model, ids), named, tokens)
            distances, result = around(model, tokens), None
            for done, (_, found) in enumerate(reach_by_change(model, ids, distances, stop=stop), 1):
                result = measured(found, named, tokens, distances)
                said = f"{done} of {len(distances)} tokens replaced"
                yield {"share": done / len(distances), "said": said, "partial": result}
            return result

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work)}


def _rope(theta: float, head_dim: int, names: list[str], tokens: int) -> dict[str, Any]:
    distances = np.unique(np.geomspace(1, max(2, tokens), POINTS).round().astype(int))
    table, alike = wavelengths(theta, head_dim), similarity(theta, head_dim, distances)
    return {
        "theta": theta, "head_dim": head_dim, "names": names, "slow": slow_pairs(theta, head_dim, tokens),
        "pairs": head_dim // 2, "wavelengths": rows(table),
        "similarity": [[int(distance), float(value)] for distance, value in zip(distances, alike, strict=True)],
    }  # fmt: skip


def _fits(model: Model, tokens: int) -> None:
    """Raises ContextLengthError for a gradient that would keep too much."""
    kept = 8 * int(model.layers) * int(model.heads) * tokens**2
    if kept > MOST_BYTES or tokens > MOST_GRADIENT:
        most = int(min(MOST_GRADIENT, (MOST_BYTES / (8 * model.layers * model.heads)) ** 0.5))
        raise ContextLengthError(
            f"A gradient over {tokens} tokens keeps {readable(kept)}", expected=f"at most {most} tokens here",
            remedy="Replace tokens instead, or ask for fewer",
        )  # fmt: skip


def around(model: Model, tokens: int) -> list[int]:
    """Distances to try: both sides of the window's and the layers' edge, and some between."""
    window = model.window or tokens
    edge = int(receptive_field(model.window, model.layers, tokens)[-1])
    some = [1, window - 1, window, edge - 1, edge, edge + 1, tokens - 1]
    some += np.linspace(1, tokens - 1, TRIED - len(some)).round().astype(int).tolist()
    return sorted({int(one) for one in some if 0 <= one < tokens})


def measured(found: Reach, named: Named, tokens: int, tried: list[int] | None = None) -> dict[str, Any]:
    """A `Reach` as the page draws it; of many distances the largest influence of neighbours."""
    values = found.influence[::-1]  # by distance from the end
    step = 1 if tried else max(1, len(values) // POINTS)
    places = tried if tried else range(0, len(values), step)
    points = [
        {"distance": int(d), "influence": float(np.nanmax(part))}
        for d in places
        if not np.isnan(part := values[d : d + step]).all()
    ]
    how = "wb.reach(model, ids)" if not tried else f"[found for _, found in reach_by_change(model, ids, {tried})][-1]"
    module = ["from workbench.context.reach import reach_by_change"] if tried else []
    code = ["import workbench as wb", "from workbench.context.induction import repeated", *module, "",
            f"model = {named.code}", f"ids = repeated(model.vocab_size, {(tokens + 1) // 2}, 0)[:{tokens}]",
            f"found = {how}", "found.measured, found.expected"]  # fmt: skip
    return {
        "title": named.title, "method": found.method, "measured": found.measured, "expected": found.expected,
        "tokens": tokens, "points": points, "code": "\n".join(code) + "\n",
        "said": f"{named.title}: {found.measured} of {tokens} tokens reach the last one, by {found.method}; "
        f"L (W - 1) + 1 allows {found.expected}.",
    }  # fmt: skip
