"""What a widget leaves where none can be, as HTML without script or style sheet: nbviewer, GitHub, a saved page.

Texts of tokens are escaped. Colour is an inline style of a tint that reads on light and dark; where a reader takes
styles away the numbers still stand in the titles and tables.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.comparison import Comparison
from workbench.comparison.parting import names
from workbench.errors import CaptureError
from workbench.inspection import Inspection
from workbench.inspection.reading import read_length
from workbench.views import cache, lens, next
from workbench.views import tokens as strip

TOKENS = 160
"""Tokens shown, around the selected one."""
LISTED = 8
"""Rows of a list of tokens."""
_STRIP = "font-family:monospace;line-height:1.8;white-space:normal;overflow-wrap:anywhere"
"""Lines break whatever the host says: some show outputs as preformatted text."""
_COLUMNS = ["position_a", "position_b", "piece", "logprob_a", "logprob_b"]


def tokens(inspection: Inspection, token: int) -> str:
    """The tokens around ``token``, coloured by the probability that the model gave them."""
    return spans(strip.pack(inspection), token)


def spans(payload: dict[str, Any], token: int) -> str:
    """`tokens` of a payload of `views.tokens.pack`."""
    total = len(payload["tokens"])
    low = max(0, min(token - TOKENS // 2, total - TOKENS))
    shown = [_span(payload, i, i == token) for i in range(low, min(total, low + TOKENS))]
    before = f"<small>… {low} before </small>" if low else ""
    after = f"<small> … {total - low - len(shown)} after</small>" if low + len(shown) < total else ""
    return f'<p style="{_STRIP}">{before}{" ".join(shown)}{after}</p>'


def panel(inspection: Inspection, name: str, token: int, layer: int, head: int | None) -> str:
    """What the view ``name`` (attention, lens, cache, next) says of ``token`` as lists and tables; a sentence where
    nothing was captured."""
    try:
        if name == "attention":
            return _attention(inspection, token, layer, head)
        if name == "lens":
            return _lens(inspection, token)
        return _cache(inspection) if name == "cache" else _next(inspection, token)
    except CaptureError as error:
        return f"<p>{html.escape(str(error))}</p>"


def difference(comparison: Comparison) -> str:
    """Where the answers part, and their tokens side by side."""
    called = names(comparison.a, comparison.b)
    shown = comparison.table[comparison.table["reply"]].head(TOKENS)
    rows = []
    for a, b, piece, p, q in shown[_COLUMNS].itertuples(index=False):
        places = ["–" if pd.isna(place) else int(place) for place in (a, b)]
        rows.append((*places, visible(piece), *("–" if pd.isna(one) else _percent(math.exp(one)) for one in (p, q))))
    heads = ("in " + called[0], "in " + called[1], "token", "p by " + called[0], "p by " + called[1])
    return f"<p>{html.escape(comparison.parting.sentence)}</p>" + _table(heads, rows)


def visible(piece: str | None) -> str:
    """A token piece as HTML that one can read: the leading-space mark as a middle dot, a line break as an arrow."""
    named = {None: "∅", "": "∅", "<0x0A>": "⏎", "\n": "⏎", "<0x09>": "⇥", "\t": "⇥"}
    return html.escape(named.get(piece) or str(piece).replace("▁", "·").replace("\n", "⏎"))


def _span(payload: dict[str, Any], i: int, selected: bool) -> str:
    logprob, piece = payload["logprob"][i], visible(payload["tokens"][i])
    share = None if logprob is None else math.exp(logprob)
    title = f"token {i}" + ("" if share is None else f", {_percent(share)}, rank {payload['rank'][i]}")
    style = f"background:rgba(24,100,171,{0.42 * (share or 0):.2f})" + (
        ";outline:2px solid #c2410c" if selected else ""
    )
    return f'<span title="{title}" style="{style}">{f"<b>{piece}</b>" if selected else piece}</span>'


def _attention(inspection: Inspection, token: int, layer: int, head: int | None) -> str:
    found = inspection.attention
    if found is None:
        raise CaptureError("attention was not captured in this run")
    length = read_length(inspection)
    if token >= length:
        raise CaptureError(f"token {token} was produced last and never read again: it has no attention of its own")
    at = slice(None) if head is None else [found.heads.index(head)]
    whose = f"layer {layer}, " + ("mean of all heads" if head is None else f"head {head}")
    reads = np.asarray(found.row(token, layer))[at].mean(0)[: token + 1]
    lists = [_list(inspection, f"What token {token} reads", reads, 0)]
    try:
        readers = np.asarray(found.column(token, layer))[at].mean(0)[-(length - token) :]
        lists.append(_list(inspection, f"Who reads token {token}", readers, token))
    except CaptureError:
        pass  # readers are known of kept states alone; what the token reads stands
    return f"<p>Attention, {whose}</p>" + "".join(lists)


def _list(inspection: Inspection, title: str, shares: np.ndarray, offset: int) -> str:
    best = [int(i) for i in np.argsort(-shares, kind="stable")[:LISTED] if shares[i] > 0.0005]
    rows = [(offset + i, visible(inspection.tokens[offset + i]), _percent(shares[i])) for i in best]
    return _table(("position", title, "share"), rows)


def _lens(inspection: Inspection, token: int) -> str:
    found = lens.pack_around(inspection, token)
    at = int(np.argmin(np.abs(np.asarray(found["positions"]) - token)))
    position, last = found["positions"][at], found["layers"][0]
    called = {0: "embeddings", last: "output"}
    rows = [
        (called.get(layer, layer), visible(top[at][0][0]), _percent(top[at][0][1]))
        for layer, top in zip(found["layers"], found["top"], strict=True)
    ]
    came = f"; what came: {visible(found['targets'][at])}" if found["targets"][at] is not None else ""
    said = f"<p>Logit lens after token {position}, {visible(inspection.tokens[position])}{came}</p>"
    return said + _table(("layer", "best guess", "probability"), rows)


def _cache(inspection: Inspection) -> str:
    if inspection.kv_cache is None:
        raise CaptureError("the KV cache was not captured in this run")
    found = cache.counts(inspection)
    columns = [found[name] for name in ("bytes", "logical", "physical", "evicted")]
    rows = list(zip(range(len(columns[0])), *columns, strict=True))
    return "<p>KV cache after the run</p>" + _table(("layer", "bytes", "tokens seen", "held", "dropped"), rows)


def _next(inspection: Inspection, token: int) -> str:
    found = next.pack_at(inspection, token)
    parts = []
    for side, title in (("before", f"Instead of token {token}"), ("after", f"After token {token}")):
        if found[side] is not None:
            rows = [(i, visible(piece), _percent(math.exp(p))) for piece, i, p in found[side]["top"]]
            parts.append(_table(("id", title, "probability"), rows))
    return "".join(parts) or f"<p>Nothing was captured around token {token}.</p>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; the cells are numbers or HTML already."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
