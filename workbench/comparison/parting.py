"""Where and how two answers part, in numbers and in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from workbench.inspection.predictions import Predictions

if TYPE_CHECKING:
    from workbench.comparison.divergence import Divergence
    from workbench.inspection.inspection import Inspection

Kind = Literal["same", "parted", "ended", "read"]
_QUOTED = 60  # characters of the common beginning that a sentence quotes


@dataclass(frozen=True)
class Chosen:
    """What one model wrote where the answers part.

    ``position`` is the token's place in its own text, ``ends`` whether it ended the answer, ``given`` whether it was
    put there instead of chosen; ``logprob`` (of model a, of model b), in nats, NaN where it was not measured;
    ``at_most`` tells of each whether it is only a bound, because the token is below the candidates that were kept.
    """

    position: int
    token_id: int
    piece: str
    ends: bool
    given: bool
    logprob: tuple[float, float]
    at_most: tuple[bool, bool]


@dataclass(frozen=True)
class Parting:
    """Where the answers of a and b part.

    kind: "same" (nothing parts), "parted" (both go on, differently), "ended" (one answer is the beginning of the other
    and was cut there, or is empty), "read" (nothing was generated). ``agreed`` tokens begin both answers. ``chosen``
    (in a, in b): None where that answer has no further token. ``prompts_part``: the first position at which the two
    prompts differ, None when both models read the same. ``sentence`` says all of it.
    """

    kind: Kind
    agreed: int
    chosen: tuple[Chosen | None, Chosen | None]
    prompts_part: int | None
    sentence: str


def part(
    a: Inspection, b: Inspection, said: tuple[Predictions, Predictions],
    measured: tuple[Divergence, Divergence] | None = None,
) -> Parting:  # fmt: skip
    """The parting of two inspections; ``said`` are their predictions, ``measured`` the exact ones on the text of a and
    on that of b, which replace what only the candidates kept by a run tell."""
    replies = [one.ids[one.prompt_length :].tolist() for one in (a, b)]
    agreed = _agreeing(*replies)
    prompts = None
    if (own := a.ids[: a.prompt_length].tolist()) != (others := b.ids[: b.prompt_length].tolist()):
        prompts = _agreeing(own, others)
    chosen: list[Chosen | None] = []
    for i, run in enumerate((a, b)):
        known = None if measured is None or prompts is not None else measured[i]
        # Only with one prompt do both models choose in the same context.
        others_said = said[1 - i] if prompts is None else None
        chosen.append(_choice(i, run, run.prompt_length + agreed, said[i], others_said, known))
    kind: Kind = "parted"
    if not replies[0] and not replies[1]:
        kind = "read"
    elif chosen[0] is None and chosen[1] is None:
        kind = "same"
    elif chosen[0] is None or chosen[1] is None:
        kind = "ended"
    both = (chosen[0], chosen[1])
    return Parting(kind, agreed, both, prompts, _sentence(kind, a, b, agreed, both, prompts))


def _choice(
    i: int, run: Inspection, position: int, own: Predictions, other: Predictions | None, measured: Divergence | None
) -> Chosen | None:
    """What run ``i`` (0 for a) wrote at ``position``; the other model's prediction there may be None."""
    if position >= len(run.ids):
        return None
    token = int(run.ids[position])
    if measured is not None and (at := measured.place(position)) is not None:
        exact = (float(measured.logprob_a[at]), float(measured.logprob_b[at]))
        return Chosen(position, token, run.piece(token), *_how(run, position), exact, (False, False))
    mine = (float(own.logprob[position]), False)
    theirs = (math.nan, False)
    if other is not None and (candidates := other.top.get(position)):
        known = {token_id: logprob for _, token_id, logprob in candidates}
        theirs = (known[token], False) if token in known else (candidates[-1][2], True)
    (a, bound_a), (b, bound_b) = (mine, theirs) if i == 0 else (theirs, mine)
    return Chosen(position, token, run.piece(token), *_how(run, position), (a, b), (bound_a, bound_b))


def _how(run: Inspection, position: int) -> tuple[bool, bool]:
    """Whether the token ended the answer, and whether it was given."""
    ends = run.record.finish_reason == "eos" and position == len(run.ids) - 1
    return ends, position < run.prompt_length + run.record.given


def _agreeing(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def names(a: Inspection, b: Inspection) -> tuple[str, str]:
    """Short names of the two models; "the first" and "the second" where they are the same."""
    first, second = (str(one.model["name"]).rstrip("/").rsplit("/", 1)[-1] for one in (a, b))
    return (first, second) if first != second else (f"the first {first}", f"the second {second}")


def _sentence(
    kind: Kind, a: Inspection, b: Inspection, agreed: int, chosen: tuple[Chosen | None, Chosen | None],
    prompts: int | None,
) -> str:  # fmt: skip
    called = names(a, b)
    before = "" if prompts is None else f"The two did not read the same: their prompts part at token {prompts}. "
    text = _quote("".join(a.record.step_texts[:agreed]))
    if kind == "read":
        return before + "Nothing was generated" + (
            f": both read the same {a.prompt_length} tokens." if prompts is None else "."
        )  # fmt: skip
    if kind == "same":
        said = before + f"The answers are the same, {agreed} {'token' if agreed == 1 else 'tokens'}"
        return said + (f": “{text}”" if text else "") + ("" if text[-1:] in ".!?…" and text else ".")
    shared = (
        f"Both begin “{text}”" if text else f"Both begin with the same {'token' if agreed == 1 else f'{agreed} tokens'}"
    )
    start = f"{shared}; then " if agreed else "The answers differ from the first token: "
    first, second = chosen
    if first is not None and second is not None:
        tokens = _words(first, second)
        acts = [f"{called[i]} {tokens[i]}{_p(one, i)}" for i, one in enumerate((first, second))]
        crossed = _crossed(called, first, second)
        return before + f"{start}{acts[0]} where {acts[1]}{crossed}."
    ended, going = (0, 1) if first is None else (1, 0)
    more = chosen[going]
    assert more is not None
    act = f"{called[going]} {'goes on with' if agreed else 'begins with'} “{_plain(more.piece)}”{_p(more, going)}"
    act = f"{called[going]} ends its answer{_p(more, going)}" if more.ends else act
    run = (a, b)[ended]
    if not agreed:
        return before + f"{called[ended]} wrote nothing; {act}."
    why = {"length": "was cut at its limit", "stopped": "was stopped"}.get(run.record.finish_reason or "", "ends")
    return before + f"{shared}, where the answer of {called[ended]} {why}; {act}."


def _words(first: Chosen, second: Chosen) -> tuple[str, str]:
    """What each does; pieces that only differ in the space before them keep its mark."""
    plain = [_plain(one.piece) for one in (first, second)]
    if plain[0] == plain[1]:
        plain = [one.piece.replace("▁", "·") for one in (first, second)]
    told = [_act(one, text) for one, text in zip((first, second), plain, strict=True)]
    return told[0], told[1]


def _act(one: Chosen, text: str) -> str:
    if one.ends:
        return "ends its answer"
    return f"was given “{text}”" if one.given else f"writes “{text}”"


def _p(one: Chosen, i: int) -> str:
    """The writer's own probability in brackets."""
    return "" if math.isnan(one.logprob[i]) else f" (p {probability(one.logprob[i])})"


def _crossed(called: tuple[str, str], first: Chosen, second: Chosen) -> str:
    """What each model gave the other's token, as far as it is known."""
    told = []
    for i, other in ((0, second), (1, first)):
        if not math.isnan(other.logprob[i]):
            p = probability(other.logprob[i])
            bound = "at most " if other.at_most[i] and not p.startswith("under") else ""
            told.append(f"{called[i]} gave {called[1 - i]}’s token p {bound}{p}")
    return f"; {', '.join(told)}" if told else ""


def probability(logprob: float) -> str:
    """ ".61", ".023", "under .001": the probability of a log-probability in nats."""
    p = math.exp(logprob)
    if p < 0.0005:
        return "under .001"
    text = f"{p:.2f}" if p >= 0.095 else f"{p:.3f}"
    return text.removeprefix("0")


def _plain(piece: str) -> str:
    """A piece as one reads it in a sentence."""
    text = {"<0x0A>": "⏎", "\n": "⏎"}.get(piece, piece.replace("▁", " "))
    return text.strip() or piece.replace("▁", "·")


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED else "…" + text[-_QUOTED:].split(" ", 1)[-1]
