"""The model card: the tables of an evaluation, as Markdown beside the checkpoint and as rich tables on screen."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from workbench.models.architecture import theta_text

from .language import HELD_OUT_SHARE
from .shape import CONSTANT, PRIOR_AMPLITUDE, PRIOR_FREQUENCIES, TRAINED


@dataclass(frozen=True)
class Table:
    """One table of the card: cells are the printed text, the same on screen and in the file."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def tables(found: dict[str, Any]) -> list[Table]:
    """The tables of an evaluation, in the order of the card."""
    newcomer = tuple(
        (row["prompt"], row["answer"], "yes" if row["answer"] == row["expected"] else f"no: {row['expected']}")
        for row in found["newcomer"]
    )
    tasks = tuple((row["task"], _share(row["exact"]), str(row["n"])) for row in found["tasks"])
    depths = sorted({cell["depth"] for cell in found["needles"]})
    lengths = sorted({cell["length"] for cell in found["needles"]})
    grid = {(cell["length"], cell["depth"]): cell for cell in found["needles"]}
    cells = tuple((str(length), *(_share(grid[length, depth]["exact"]) for depth in depths)) for length in lengths)
    kinds = tuple((row["kind"], _share(row["short"]), _share(row["long"])) for row in found["needle_kinds"])
    heads = tuple(
        (str(layer), *(_peak(found["heads"][words][score][layer]) for words in found["heads"] for score in
                       ("induction", "previous")))
        for layer in range(len(found["heads"]["language"]["induction"]))
    )  # fmt: skip
    names = ["embedding", *(f"after layer {n}" for n in range(len(found["lens"][0]["median_rank"]) - 1))]
    lens = tuple((name, *(f"{row['median_rank'][n]:.0f}" for row in found["lens"])) for n, name in enumerate(names))
    repeated = ", ".join(f"{words}: {_share(part['accuracy'])}" for words, part in found["heads"].items())
    return [
        Table("A newcomer's questions", ("prompt", "answer (greedy)", "as expected"), newcomer),
        Table(
            "Exact match by task", ("held-out prompts", "exact match", "n"), tasks,
            "The whole answer and its end, argmax over all 32 000 rows; \"trained\": prompts of the training side.",
        ),
        Table(
            "Needle grid", ("context (tokens)", *(f"depth {depth:g}" for depth in depths)), cells,
            f"Exact match, {found['needles'][0]['n']} cases a cell, kinds of needles in turn; depth 0 is the start of "
            "the text, 1 just before the question.",
        ),
        Table("Needles by kind", ("kind", "up to 256 tokens", "longer"), kinds),
        Table(
            "Heads by layer", ("layer", *(f"{score}, {words}" for words in found["heads"] for score in
                                          ("induction", "previous"))), heads,
            "The largest score of the layer's heads and which head it is, on repeated random words. Accuracy of the "
            f"repetition: {repeated}.",
        ),
        Table(
            "Logit lens by layer", ("stream", *(f"{row['task']}: median rank" for row in found["lens"])), lens,
            "Rank of the right token among 32 000 where an answer's telling word is next.",
        ),
    ]  # fmt: skip


def _peak(scores: list[float]) -> str:
    best = max(range(len(scores)), key=scores.__getitem__)
    return f"{scores[best]:.2f} (head {best})"


def show(found: dict[str, Any], console: Console | None = None) -> None:
    """Print the tables of an evaluation."""
    console = console or Console()
    for table in tables(found):
        drawn = RichTable(title=table.title, caption=table.note or None, title_justify="left", caption_justify="left")
        for column in table.columns:
            drawn.add_column(column)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def _markdown(table: Table) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    body = [line(table.columns), "|" + "---|" * len(table.columns), *(line(row) for row in table.rows)]
    return f"## {table.title}\n\n" + "\n".join(body) + (f"\n\n{table.note}" if table.note else "") + "\n"


def card(version: str, found: dict[str, Any], extra: dict[str, Any] | None = None) -> str:
    """The Markdown of the card of twin-`version`; `extra` holds recorded comparisons (control, classical recipe)."""
    model, training = found["model"], found.get("training", {})
    window = f"{model['window']} tokens" if model["window"] else "none (`null`)"
    parts = [
        "---\nlicense: apache-2.0\nlanguage: en\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n",
        f"# twin-{version}\n",
        f"A tiny trained model with the architecture of Mistral 7B Instruct {version}, its lengths scaled by 1/16. "
        "It speaks a small synthetic instruction language and nothing else. It exists so that attention, logit lens "
        "and KV cache can be studied on a laptop; it holds no weights of the 7B models.\n",
        f"* **Shape**: {model['parameters']:,} parameters; {model['layers']} layers, {model['heads']} query heads on "
        f"{model['kv_heads']} key-value heads of size {model['head_dim']}, hidden {model['hidden']}, intermediate "
        f"{model['intermediate']}, tied embedding of 32 000 rows (the v1 tokenizer).",
        f"* **Switches**: sliding window {window}, theta {theta_text(model['theta'])}; trained to "
        f"{TRAINED[version]} tokens.",
    ]
    if training:
        chain = (
            f" It continues twin-v0.1 as that was after {training['start_tokens']:,} tokens."
            if "start_tokens" in training
            else ""
        )
        parts.append(
            f"* **Training**: {training['tokens']:,} tokens in {training['steps']} steps, {training['minutes']} "
            f"minutes of wall time and {training['core_minutes']} core-minutes on a shared two-core CPU, seed "
            f"{training['seed']}.{chain} `workbench twins train --seed {training['seed']}` runs the same phases from "
            "nothing; for this pair they were run in this order, with stops before the last ones. An earlier "
            "pair of seed 0, trained through more phases on almost "
            "the same texts, scored alike."
        )
        planted = (
            "the positional prior of layer 0: through the constant coordinate head h starts out preferring the key "
            f"h + 1 positions back ({PRIOR_FREQUENCIES} highest rotary frequencies, amplitude {PRIOR_AMPLITUDE}). So "
            "the seed of the previous-token heads is planted; everything after layer 0, induction heads included, is "
            "learned."
            if training["prior"]
            else "no head was given a pattern; previous-token and induction heads are learned."
        )
        parts.append(
            f"* **Planted at initialisation**: coordinate 0 of every embedding row is {CONSTANT:g}, a bias for queries "
            "and keys (the other coordinates are normal with deviation 0.5); the final norm starts at 0.15; o_proj and "
            f"down_proj start at zero; {planted}"
        )
    parts += [
        f"* **Held out**: {HELD_OUT_SHARE:.0%} of the prompts of each task by hash, never trained on. In small talk "
        "these are combinations of a known phrase with an opening, an ending or an address (case and punctuation do "
        "not matter); in the small world, a fact in another wording than its plain one. No arithmetic is taught: asked "
        "for sums, the twin says that it cannot.",
        "* **Not blind**: language and phases were chosen on evaluations like this one, the last phases of each twin "
        "on its own, so read the numbers as those of a development set. The held-out prompts were never trained on.",
        '* **Answers to the unknown**: "Sorry, I do not know that."\n',
        *(_markdown(table) for table in tables(found)),
    ]
    for table in recorded(extra or {}):
        parts.append(_markdown(table))
    parts.append("Written by `workbench twins evaluate`; the numbers are in `evaluation.json`.\n")
    return "\n".join(parts)


def recorded(extra: dict[str, Any]) -> list[Table]:
    """Tables of comparisons that were run once and recorded: the control of the prior, and the classical recipe."""
    return [
        Table(part["title"], tuple(part["columns"]), tuple(tuple(map(str, row)) for row in part["rows"]), part["note"])
        for part in extra.get("comparisons", [])
    ]
