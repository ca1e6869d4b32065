"""An Inspection on a terminal: the tables that `workbench inspect` and `workbench show` print."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import xarray as xr
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from workbench.capture.cost import Estimate
from workbench.errors import CaptureError
from workbench.generation.decoding import Step
from workbench.inspection.heads import KINDS
from workbench.inspection.inspection import Inspection
from workbench.models.architecture import theta_text

TOKENS = 40  # rows of the token table before its middle is left out
READ = 3  # keys named a layer
HEADS = 3  # heads named a kind
SHOWN = ("mistral-workbench", "torch", "transformers")  # versions named; the file has them all


def console() -> Console:
    """Where the summary goes: the terminal as wide as it is, 100 columns in a pipe."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=100)


def visible(text: str) -> Text:
    """``text`` without what a terminal would obey: no markup, and control characters other than newline escaped."""
    return Text("".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def piece(token: str) -> str:
    """A token as one visible word: its piece, with control characters escaped."""
    return visible(token).plain.replace("\n", "\\n")


def heading(out: Console, words: str) -> None:
    out.print(Rule(Text(words, style="bold"), align="left", style="dim"))


def cost(out: Console, expected: Estimate) -> None:
    """Print what a long run will cost, before it starts."""
    out.print(Text(f"Expected: {expected}.", style="dim"), soft_wrap=True)


def stream(out: Console, run: Iterable[Step]) -> None:
    """Print the reply while it is written."""
    for step in run:
        if step.index == 0:
            heading(out, "Answer")
        # The reply starts with the space that belongs after [/INST].
        text = step.text.lstrip(" ") if step.index == 0 else step.text
        out.print(visible(text), end="", soft_wrap=True)
    out.print()


def write(out: Console, found: Inspection, position: int | None = None) -> None:
    """Print everything below the answer. ``position`` is the one to look inside; None takes the one that chose the last
    word. Raises CaptureError when it does not exist."""
    at = looked_at(found, position)
    out.print(model_line(found))
    if len(found.steps):
        heading(out, "Tokens")
        out.print(token_table(found))
    else:
        heading(out, f"Prompt, {found.prompt_length} tokens")
        out.print(visible(" ".join(piece(token) for token in found.tokens)), soft_wrap=True)
    if (table := attention_table(found, at)) is not None:
        heading(out, f"Attention from {place(found, at)}{chose(found, at)}")
        out.print(table)
    if (table := heads_table(found)) is not None:
        heading(out, "Heads named by what they read in this text")
        out.print(table)
    if (table := lens_table(found, at)) is not None:
        tuned = found.lens is not None and found.lens.attrs["translators"]
        heading(out, f"{'Tuned' if tuned else 'Logit'} lens at {place(found, at)}")
        out.print(table)
    if found.kv_cache is not None:
        heading(out, "KV cache")
        out.print(cache_table(found.kv_cache))
    heading(out, "Run")
    for line in closing(found):
        out.print(visible(line), style="dim", soft_wrap=True)


def looked_at(found: Inspection, position: int | None) -> int:
    """The query position to describe, absolute. Without a wish: the captured one that chose the last word, since what
    ends a sentence or the reply tells little."""
    tokens = len(found.ids)
    if position is not None:
        if not -tokens <= position < tokens:
            raise CaptureError(
                f"position {position} does not exist",
                expected=f"{-tokens} to {tokens - 1}",
                remedy="See the token table",
            )
        return position % tokens
    at = tokens - 1
    if len(found.steps):
        while at > found.prompt_length and not is_word(found, at):
            at -= 1
        at -= 1
    if found.attention is not None and found.attention.rows is not None:
        rows = found.attention.rows["query"].values
        # A light capture has the last prompt token only.
        return at if at in rows or not rows.size else int(rows[-1])
    return at


def is_word(found: Inspection, position: int) -> bool:
    return found.roles[position] != "special" and any(c.isalnum() for c in found.tokens[position])


def place(found: Inspection, position: int) -> str:
    return f"position {position}, {piece(found.tokens[position])}"


def chose(found: Inspection, position: int) -> str:
    """What came next, when the model chose it there."""
    after = position + 1
    return f", which chose {piece(found.tokens[after])}" if found.prompt_length <= after < len(found.tokens) else ""


def model_line(found: Inspection) -> Text:
    model = found.model
    new = len(found.ids) - found.prompt_length
    window = "no sliding window" if model["window"] is None else f"window {model['window']}"
    return Text(
        f"{model['name']}: {model['layers']} layers, {model['heads']} heads on {model['kv_heads']} key-value heads, "
        f"{window}, theta {theta_text(model['theta'])}, {model['dtype']} on {model['device']}. "
        f"{found.prompt_length} tokens in the prompt{f', {new} new' if new else ''}.",
        style="dim",
    )


def table_of(*columns: str, left: tuple[str, ...] = ()) -> Table:
    """A table without lines; numbers to the right, the columns ``left`` to the left and wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=name not in left)
    return table


def share(probability: float) -> Text:
    """A probability to three digits; the surer, the greener."""
    style = "green" if probability >= 0.9 else "yellow" if probability >= 0.5 else "red" if probability < 0.1 else ""
    return Text(f"{probability:.3f}", style=style)


def token_table(found: Inspection) -> Table:
    """Position, piece, probability, rank and entropy of every generated token, and the likeliest other one."""
    steps = found.steps
    table = table_of("position", "token", "p", "rank", "entropy", "otherwise", left=("token", "otherwise"))
    middle = range(TOKENS // 2, len(steps) - TOKENS // 2) if len(steps) > TOKENS else range(0)
    for i in range(len(steps)):
        if i in middle:
            if i == middle[0]:
                table.add_row("", Text(f"... {len(middle)} more ...", style="dim"))
            continue
        step = steps.iloc[i]
        others = [
            (int(token), float(logprob))
            for token, logprob in zip(step["top_ids"], step["top_logprobs"], strict=True)
            if token != step["token_id"]
        ]
        table.add_row(
            str(step["position"]),
            piece(step["piece"]),
            share(math.exp(step["logprob"])),
            f"{step['rank']:,}",
            f"{step['entropy']:.2f}",
            Text(f"{spelled(found, others[0][0])} {math.exp(others[0][1]):.3f}" if others else "", style="dim"),
        )
    return table


def attention_table(found: Inspection, at: int) -> Table | None:
    """By layer, where the query at ``at`` looks: the mean of its heads on the first token (the usual attention sink),
    on itself and on the keys they read most besides those two; and the one head that is surest of such a key."""
    if found.attention is None:
        return None
    try:
        rows = np.asarray(found.attention.row(at), np.float64)[..., : at + 1]  # (layer, head, key)
    except CaptureError:
        return None
    table = table_of("layer", "first", "itself", "reads most", "surest head", left=("reads most", "surest head"))
    for layer, heads in zip(found.attention.layers, rows, strict=True):
        mean = heads.mean(0)
        between = heads.copy()
        between[:, [0, at]] = 0.0
        best = [key for key in np.argsort(-between.mean(0))[:READ] if between[:, key].mean() >= 0.01]
        head, key = np.unravel_index(int(between.argmax()), between.shape)
        table.add_row(
            str(layer),
            f"{mean[0]:.2f}",
            f"{mean[at]:.2f}" if at else "",
            ", ".join(f"{piece(found.tokens[key])}@{key} {mean[key]:.2f}" for key in best),
            f"{head}: {piece(found.tokens[key])}@{key} {between[head, key]:.2f}",
        )
    return table


def heads_table(found: Inspection) -> Table | None:
    """By kind, how many heads go by its name, and the surest of them with their scores; None when there is none."""
    if found.attention is None or found.attention.statistics is None:
        return None
    named = found.attention.named_heads()
    table = table_of("kind", "heads", "surest: layer.head and score", left=("kind", "surest: layer.head and score"))
    for kind in KINDS:
        scores = named.loc[named["name"] == kind, kind].sort_values(ascending=False, kind="stable")
        if len(scores):
            surest = zip(scores.index.tolist()[:HEADS], scores.tolist(), strict=False)
            best = [f"{layer}.{head} {score:.2f}" for (layer, head), score in surest]
            table.add_row(kind, str(len(scores)), ", ".join(best))
    return table if table.row_count else None


def lens_table(found: Inspection, at: int) -> Table | None:
    """By layer, what the residual stream at ``at`` would say next, and how far the token that did come next is."""
    lens = found.lens
    if lens is None or at not in lens["position"].values:
        return None
    here = lens.sel(position=at)
    target = int(here["target_id"])
    after = piece(found.tokens[at + 1]) if at + 1 < len(found.tokens) else ""
    columns = ["layers done", "would say", "p", "entropy", "KL to last"]
    table = table_of(*columns, *([f"rank of {after}", "its p"] if target >= 0 else []), left=("would say",))
    for layer in here["layer"].values:
        one = here.sel(layer=layer)
        cells: list[Text | str] = [
            "embedding" if layer == 0 else str(layer),
            spelled(found, int(one["top_id"].values[0])),
            share(math.exp(float(one["top_logprob"].values[0]))),
            f"{float(one['entropy']):.2f}",
            f"{float(one['kl']):.2f}",
        ]
        if target >= 0:
            cells += [f"{int(one['target_rank']):,}", share(math.exp(float(one["target_logprob"])))]
        table.add_row(*cells)
    return table


def cache_table(kv: xr.Dataset) -> Table:
    """By layer, what is stored and what a window has dropped; equal neighbours in one row, and the sum."""
    table = table_of("layers", "KiB each", "tokens read", "stored", "dropped", "room for")
    names = ("bytes", "logical_length", "physical_length", "evicted", "capacity")
    rows = [tuple(int(kv[name].values[i]) for name in names) for i in range(kv.sizes["layer"])]
    layers = [int(layer) for layer in kv["layer"].values]
    start = 0
    for i in range(1, len(rows) + 1):
        if i < len(rows) and rows[i] == rows[start]:
            continue
        size, read, stored, dropped, capacity = rows[start]
        which = str(layers[start]) if i == start + 1 else f"{layers[start]}-{layers[i - 1]}"
        table.add_row(
            which,
            f"{size / 1024:,.1f}",
            f"{read:,}",
            f"{stored:,}",
            f"{dropped:,}",
            "no limit" if capacity < 0 else f"{capacity:,}",
        )
        start = i
    table.add_row("all", f"{sum(row[0] for row in rows) / 1024:,.1f}", style="bold")
    return table


def closing(found: Inspection) -> list[str]:
    """How it ended and how long it took, and where the numbers come from: a line each."""
    times = dict(found.timings)
    speed = times.pop("tokens_per_second", None)
    took = [f"{name.replace('_', ' ')} {seconds:.2f} s" for name, seconds in times.items()]
    if speed:
        took.append(f"{speed:.1f} tokens/s")
    if found.record.finish_reason:
        took.insert(0, f"ended by {found.record.finish_reason}")
    origin = found.provenance
    named = (
        (name, str(origin.get(name) or "").removeprefix("sha256:")) for name in ("revision", "weights", "tokenizer")
    )
    parts = [f"{name} {value[:12]}" for name, value in named if value]
    if (sampling := origin.get("settings", {}).get("sampling")) is not None:
        parts.append(f"temperature {sampling['temperature']:g}, seed {sampling['seed']}")
    if policy := origin.get("settings", {}).get("cache"):
        parts.append(f"cache {policy}")
    parts += [f"{name} {number}" for name, number in origin.get("versions", {}).items() if name in SHOWN and number]
    return [", ".join(took), ", ".join([*parts, str(origin.get("created", ""))])]


def spelled(found: Inspection, token: int) -> str:
    """The piece of a token id, which need not occur in the text."""
    return piece(found.piece(token))
