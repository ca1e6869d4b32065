"""The Python that reproduces a difference panel: both runs made again, compared, and what the panel shows."""

from __future__ import annotations

from workbench.comparison import Comparison
from workbench.errors import WorkbenchError
from workbench.views.snippets import beginning

PANELS = ("attention", "lens", "cache", "next")


def code(comparison: Comparison, panel: str, layer: int | str = 0, head: int | str | None = None) -> str:
    """A program that ends with what ``panel`` shows of the two runs; ``head`` is its number in the model, None for the
    mean of all heads. It defines found, a `Comparison`. Raises WorkbenchError for another panel."""
    again = [beginning(run, f"{side}.inspection") for run, side in ((comparison.a, "a"), (comparison.b, "b"))]
    second = again[1].removeprefix("import workbench as wb\n").lstrip("\n")
    known = all("model = " in text for text in again)
    parts = [again[0] + "a = found" + ("\nmodel_a = model" if known else ""), second + "b = found", _compared(known)]
    return "\n\n".join([*parts, ending(panel, layer, head)])


def _compared(known: bool) -> str:
    """The comparison; with both models at hand the divergence is measured as well."""
    lines = ["found = wb.Comparison.of(a, b)"]
    if known:
        lines = [
            "from workbench.comparison import measured_pair",
            "",
            "found = wb.Comparison.of(a, b, measured_pair(model_a, model, a, b))  # measured is whole distributions",
        ]
    return "\n".join([*lines, "print(found.parting.sentence)"])


def ending(panel: str, layer: int | str = 0, head: int | str | None = None) -> str:
    """Lines that select what ``panel`` shows. attention: maps (head, query_block, key_block), shown, statistics. lens:
    the Dataset grid. cache: the table stored. next: the table of every token."""
    if panel == "attention":
        one = '.mean("head")' if head is None else f".sel(head={head})"
        return (
            f"maps = found.attention.map({layer})  # b less a, over the tokens that both read alike\n"
            f"shown = maps{one}\n"
            f"statistics = found.attention.statistics().loc[{layer}]\n"
            "print(shown.to_pandas(), statistics)\n"
        )
    if panel == "lens":
        return "grid = found.lens  # rank_a, rank_b, logprob_a, logprob_b, difference by (layer, place)\nprint(grid)\n"
    if panel == "cache":
        return "stored = found.kv_cache\nprint(stored)\n"
    if panel == "next":
        return "print(found.table)  # log-probabilities in nats, and KL(a || b) and KL(b || a) where measured\n"
    raise WorkbenchError(f"there is no panel {panel[:40]!r}", expected=", ".join(PANELS))


def pack(comparison: Comparison) -> dict[str, str]:
    """The code of every panel for a host without Python, with @layer@ and @head@ to fill in; attention as
    "attention/one" and "attention/mean"."""
    found = {panel: code(comparison, panel) for panel in PANELS if panel != "attention"}
    found["attention/one"] = code(comparison, "attention", "@layer@", "@head@")
    return found | {"attention/mean": code(comparison, "attention", "@layer@")}
