"""The memory calculator on the page: answers at once, from shapes alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import workbench as wb
from apps.studio.shelf import title
from apps.studio.studio import Studio
from workbench.capture.cost import readable
from workbench.errors import WorkbenchError
from workbench.planning import ModelShape
from workbench.planning.memory import KV_BITS, MemoryPlan
from workbench.planning.weights import FORMATS

OWN = "own"
MOST_TEXT = 100_000
"""Characters of a pasted config.json."""


class MemoryEvents:
    """Plans for v0.1, v0.2, the twins, the models on the shelf, and a config of one's own."""

    def __init__(self, studio: Studio) -> None:
        self._shelf = studio.shelf

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.memory_choices, self.memory_plan]

    def memory_choices(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": [[name, title]], "formats": [...], "kv_bits": [...]}"""
        names = dict.fromkeys(["v0.1", "v0.2", "twin-v0.1", "twin-v0.2", *self._shelf.names])
        return {
            "models": [[name, title(name)] for name in names],
            "formats": list(FORMATS),
            "kv_bits": list(KV_BITS),
        }

    def memory_plan(self, request: dict[str, Any]) -> dict[str, Any]:
        """The plan of {"model", "config" (text, for "own"), "tokens", "format", "kv_bits", "capture"}.

        {"name", "context", "tokens", "parts": [[what, bytes, text]], "total", "extra": [[what, bytes, text]],
        "parameters": [[part, count, share]], "window", "reach", "by_length": [{tokens, kv_cache, kv_cache_full, ...}],
        "cards": [{card, memory_gib, fits, longest_tokens}], "code"}
        """
        plan = self._planned(request)
        shape = plan.shape
        parts: list[tuple[str, int]] = [
            ("weights", plan.weights),
            ("KV cache", plan.kv_cache),
            ("activations", plan.activations),
        ]
        if plan.capture:
            parts.append(("capture", plan.capture))
        extra: list[tuple[str, int]] = [
            ("KV cache without a window", plan.kv_cache_full),
            ("eager scores of one layer", plan.eager_scores),
            ("float32 logits of every position", plan.all_logits),
        ]
        return {
            "name": title(shape.name),
            "context": shape.context,
            "tokens": plan.tokens,
            "parts": [[what, size, readable(size)] for what, size in parts],
            "total": [plan.total, readable(plan.total)],
            "extra": [[what, size, readable(size)] for what, size in extra],
            "parameters": [[part, count, count / shape.parameters] for part, count in shape.groups.items()],
            "window": shape.window,
            "reach": shape.reach,
            "by_length": plan.by_length().reset_index().to_dict("records"),
            "cards": plan.cards().reset_index().to_dict("records"),
            "code": _code(request, plan),
        }

    def _planned(self, request: dict[str, Any]) -> MemoryPlan:
        name, tokens, bits = request.get("model"), request.get("tokens"), request.get("kv_bits")
        model: Any = name
        if name == OWN:
            model = _pasted(request.get("config"))
        elif name not in [one for one, _ in self.memory_choices({})["models"]]:
            raise WorkbenchError("This model is not offered here", expected="one of the list")
        form = request.get("format")
        if not isinstance(form, str) or not (bits is None or type(bits) is int):
            raise WorkbenchError("The page sent no format or no number of bits", remedy="Reload the page")
        capture = wb.Capture() if request.get("capture") is True else None
        return wb.memory(model, tokens, form, bits, capture)


def _pasted(text: Any) -> Any:
    if not isinstance(text, str) or not text.strip():
        raise WorkbenchError("No config was pasted", expected="the text of a config.json")
    if len(text) > MOST_TEXT:
        raise WorkbenchError(f"The text has {len(text):,} characters", expected=f"a config.json, at most {MOST_TEXT:,}")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise WorkbenchError("The text is no JSON", expected="a config.json from its first brace to its last") from None
    return ModelShape.of_config("own config", raw)


def _code(request: dict[str, Any], plan: MemoryPlan) -> str:
    """The Python that makes the same plan."""
    bits = "" if request.get("kv_bits") is None else f", kv_bits={plan.kv_bits}"
    capture = ", capture=wb.Capture()" if request.get("capture") is True else ""
    own = request.get("model") == OWN
    model = '"path/to/model"  # the folder of your config.json' if own else repr(plan.shape.name)
    return (
        "import workbench as wb\n\n"
        f"model = {model}\n"
        f"plan = wb.memory(model, {plan.tokens}, {plan.format!r}{bits}{capture})\n"
        "print(plan)\nprint(plan.by_length())\nprint(plan.cards())\n"
    )
