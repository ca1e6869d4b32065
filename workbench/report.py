"""Inspections as one self-contained HTML file: the app's views with their data, opened without server or request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.comparison.comparison import Comparison
from workbench.errors import CaptureError, ComparisonError
from workbench.results.writing import write_text
from workbench.views import attention, difference, lens, next, open_run, snippets
from workbench.views.actions import file_name
from workbench.views.arrays import Packed, pack_array, unpack_array
from workbench.views.bundle import FOLDER, page_of

if TYPE_CHECKING:
    from workbench.inspection import Inspection

ROW_BYTES = 2 * 2**20
"""Bytes of exact attention rows a report may hold before they are packed; the generated tokens come first."""
ROW_STEPS = 2**15
"""Steps from 0 to 1 that a share of those rows is rounded to: finer noise would fill the file."""
MAP_BYTES = 6 * 2**20
"""Bytes of attention maps; larger ones are pooled further. Two runs and their difference have a quarter of it each."""
LEAST_CELLS = 64
"""Cells a side that such a quarter does not go below."""
SIDES = 4096
"""Tokens whose alternatives a report holds, the last ones of the run."""
PANELS = {"tokens": "Tokens", "attention": "Attention", "lens": "Logit lens", "cache": "KV cache", "next": "Next token"}
PARTS = {"layers": "attention", "rows": "attention", "lens": "lens", "sides": "next"}
"""Parts of a run's data that one panel alone reads."""
LENS_WINDOWS = 48
"""Windows of lens positions a report may hold, the last ones of the run first."""


def write_html(
    inspections: Inspection | Sequence[Inspection], path: str | Path, title: str | None = None,
    comparison: Comparison | None = None,
) -> Path:  # fmt: skip
    """Write one page for one or several inspections and return its path; the file appears whole or not at all. Two of
    them are compared on the page as well; ``comparison`` is theirs, where it is at hand or was measured."""
    found = list(inspections) if isinstance(inspections, Sequence) else [inspections]
    if not found:
        raise CaptureError("there is nothing to report on", expected="at least one inspection")
    page = render(
        found, comparison=comparison, title=title or "What " + " and ".join(one.model["name"] for one in found) + " saw"
    )
    return write_text(path, page)


def render(inspections: Sequence[Inspection], title: str, comparison: Comparison | None = None) -> str:
    """The page as text. Token text and model names are data in it, never markup."""
    share = min(_map_share(one, len(inspections)) for one in inspections)
    runs = [_run(one, i, share) for i, one in enumerate(inspections)]
    return _page({"title": title, "runs": runs, "difference": _difference(inspections, comparison, share)})


def _difference(inspections: Sequence[Inspection], comparison: Comparison | None, share: int) -> dict[str, Any] | None:
    """What `views.difference.pack_whole` says of two runs; None for another number of them, and for two whose ids mean
    different tokens."""
    if comparison is None and len(inspections) == 2:
        try:
            comparison = Comparison.of(inspections[0], inspections[1])
        except ComparisonError:
            return None
    if comparison is None:
        return None
    return difference.pack_whole(comparison, "run0", "run1", share, SIDES)


def panel_page(
    inspection: Inspection, panel: str, token: int, layer: int | None = None, head: int = -1
) -> dict[str, str]:  # fmt: skip
    """{"name": file name, "html": text}: one panel of one inspection as a page of its own. ``head`` is an index among
    the captured heads, -1 for their mean. Raises CaptureError for another panel."""
    if panel not in PANELS:
        raise CaptureError(f"there is no panel {panel[:20]!r}", expected=", ".join(PANELS))
    run = _run(inspection, 0, _map_share(inspection))
    for part, whose in PARTS.items():
        if panel != whose:
            run[part] = {"windows": []} if part == "lens" else {}
    title = f"{PANELS[panel]}: {inspection.model['name']}"
    shown = {"name": panel, "token": token, "layer": layer, "head": head}
    return {
        "name": file_name(inspection, panel, token, "html", layer),
        "html": _page({"title": title, "runs": [run], "panel": shown}),
    }


def _page(data: dict[str, Any]) -> str:
    return page_of(str(data["title"]), data, "report", [FOLDER / "report.js"])


def _run(inspection: Inspection, index: int, share: int) -> dict[str, Any]:
    run = f"run{index}"
    length = len(inspection.ids)
    speed = inspection.timings.get("tokens_per_second")
    counted = f"{inspection.prompt_length} + {length - inspection.prompt_length} tokens"
    return {
        "run": run,
        "title": inspection.model["name"],
        "tone": "ab"[index % 2],
        "summary": counted + (f", {speed:.1f} tokens/s" if speed else "") + f", {inspection.model['dtype']}",
        "text": inspection.text,
        "open": _open(inspection, run, share),
        "layers": _layers(inspection, share),
        "rows": _rows(inspection),
        "lens": {"windows": _lens(inspection)},
        "sides": {str(index): side for index, side in next.sides(inspection, SIDES).items()},
        "code": snippets.pack(inspection),
        "provenance": json.dumps(inspection.provenance, indent=2, ensure_ascii=False, default=str),
    }


def _open(inspection: Inspection, run: str, share: int) -> dict[str, Any]:
    """The opening payloads, with alternatives for the last SIDES tokens only."""
    found = open_run(inspection, run, share)
    listed = found["tokens"]["alternatives"]
    listed[: max(0, len(listed) - SIDES)] = [None] * max(0, len(listed) - SIDES)
    return found


def _layers(inspection: Inspection, share: int) -> dict[str, Any]:
    if inspection.attention is None or inspection.attention.map is None:
        return {}
    layers = [int(layer) for layer in inspection.attention.map.layer.values]
    return {str(layer): attention.pack_layer(inspection, layer, share) for layer in layers}


def _map_share(inspection: Inspection, runs: int = 1) -> int:
    """Bytes one layer's maps may take in a page of so many runs."""
    share = MAP_BYTES // int(inspection.model["layers"])
    least = int(inspection.model["heads"]) * LEAST_CELLS**2
    return share if runs == 1 else min(share, max(share // 4, least))


def _rows(inspection: Inspection) -> dict[str, Any]:
    """Exact rows, the generated tokens first, as many as ROW_BYTES holds."""
    if inspection.attention is None:
        return {}
    length, start = attention.read_length(inspection), int(inspection.prompt_length)
    wanted = [*range(start - 1, length), *range(start - 2, -1, -1)]
    layers, rows, left = inspection.attention.layers, {}, ROW_BYTES
    for token in wanted:
        left -= 2 * len(inspection.attention.heads) * (length + 1) * len(layers)
        if left < 0:
            break
        for layer in layers:
            found = attention.pack_row(inspection, token, layer, most_bytes=0)
            if found["reads"] is not None:
                rows[f"{token}/{layer}"] = found | {side: _rounded(found[side]) for side in ("reads", "readers")}
    return rows


def _rounded(packed: Packed | None) -> Packed | None:
    """Shares to `ROW_STEPS` steps, still as square roots: what is left of most rows is zeros, which take no room."""
    if packed is None:
        return None
    shares = np.rint((unpack_array(packed) / 65535.0) ** 2 * ROW_STEPS) / ROW_STEPS
    return pack_array(np.rint(65535 * np.sqrt(shares)), "uint16")


def _lens(inspection: Inspection) -> list[dict[str, Any]]:
    if inspection.lens is None or not inspection.lens.sizes["position"]:
        return []
    positions = np.asarray(inspection.lens.position.values, int)
    middles = range(len(positions) - 1, -1, -lens.SPAN)
    return [lens.pack_around(inspection, int(positions[at])) for at in list(middles)[:LENS_WINDOWS]]
