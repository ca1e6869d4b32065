"""A loaded model as judge, when asked for: pairs of answers in both orders, and single answers against a reference.

The verdict is no free text: it is read from the exact log-probabilities of "A" and "B", or of the numbers 1 to 10, at
the place of the answer, and is the same each time. Limits, none of which a number here removes: small models judge
poorly (the twins know nothing of the task: their verdicts are exact and worthless), judges favour a place (measured and
shown) and long answers and their own style, and a text that is judged can try to talk to the judge. ``mass`` is how
much probability the allowed answers have at all: where it is small, the judge did not understand the question.
Both orders and single grading follow Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena" (2023),
sections 3.1 and 3.4; the words are our own.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.behaviour import journal, preference
from workbench.behaviour.answers import Answers
from workbench.behaviour.continuation import continuations
from workbench.behaviour.preference import Outcome, Position, Tally
from workbench.behaviour.run import digest, identity
from workbench.behaviour.suite import Item
from workbench.behaviour.votes import Pair, pairs, two_of
from workbench.errors import ContextLengthError
from workbench.models.given import models_given
from workbench.results import Result
from workbench.results.markup import flat

if TYPE_CHECKING:
    from workbench.model import Model

FILE = "judge.jsonl"
GRADES = tuple(str(grade) for grade in range(1, 11))
PAIR = (
    "Two assistants answered the same user. Decide which of them helped the user more: look at what is right, "
    "complete, clear and to the point. Neither the order of the answers nor their length is a reason.\n\n"
    "{conversation}\n\nWhich assistant is better? Reply with one letter, A or B."
)
GRADE = (
    "An assistant answered a user. Grade the assistant's last answer from 1 (useless or wrong) to 10 (right, complete "
    "and clear), compared with the reference answer.\n\n{conversation}\n\nReference answer:\n{reference}\n\n"
    "Reply with the grade alone, a whole number from 1 to 10."
)


@dataclass(frozen=True)
class Judging:
    """``done`` of ``of`` verdicts are kept; ``item`` is the last one."""

    done: int
    of: int
    item: str

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.done / self.of if self.of else 1.0


def pair_question(item: Item, a: Sequence[str], b: Sequence[str]) -> str:
    """What the judge is asked of two answers (one text a turn): ``a`` is shown as A, ``b`` as B."""
    return PAIR.format(conversation="\n\n".join(
        f"[Conversation with assistant {name}]\n{_conversation(item, answers)}\n[End of conversation {name}]"
        for name, answers in (("A", a), ("B", b))
    ))  # fmt: skip


def grade_question(item: Item, answers: Sequence[str]) -> str:
    """What the judge is asked of one answer, beside the item's last reference."""
    return GRADE.format(conversation=_conversation(item, answers), reference=item.reference[-1])


def _conversation(item: Item, answers: Sequence[str]) -> str:
    head = [f"System: {item.system}"] if item.system else []
    said = [f"User: {turn}\nAssistant: {answer}" for turn, answer in zip(item.turns, answers, strict=False)]
    return "\n".join(head + said)


def prefer(judge: Model, question: str) -> tuple[float, float]:
    """How much of the probability of "A" and "B" as the beginning of the reply is A's, and the mass of both."""
    one, other = _chances(judge, question, ("A", "B"))
    return float(1 / (1 + np.exp(other - one))), float(np.exp(np.logaddexp(one, other)))


def grade(judge: Model, question: str) -> tuple[float, list[float], float]:
    """The expected grade, the share of each grade from 1 to 10 (10,), and the mass of all ten.

    Where "10" is written with the token of "1" and one more, what is 10 is taken off 1.
    """
    logs = _chances(judge, question, GRADES)
    one, ten = (tuple(judge.tokenizer.encode(text)) for text in ("1", "10"))
    if ten[: len(one)] == one:
        logs[0] += np.log(max(-np.expm1(logs[9] - logs[0]), 1e-300))
    total = np.logaddexp.reduce(logs)
    shares = np.exp(logs - total)
    return float(shares @ np.arange(1, 11)), shares.tolist(), float(np.exp(total))


def _chances(judge: Model, question: str, texts: Sequence[str]) -> np.ndarray:
    """Log-probability in nats that the reply begins with each of ``texts``, (texts,)."""
    prompt = judge.encode([{"role": "user", "content": question}])
    found = continuations(judge, prompt.ids, [judge.tokenizer.encode(text) for text in texts])
    return np.array([float(one.sum()) for one in found])


def judge_suite(
    judge: Model, folder: str | Path, models: Sequence[str] | None = None, *, stop: threading.Event | None = None
) -> Generator[Judging, None, None]:  # fmt: skip
    """Judge the answers of a folder into its ``judge.jsonl``; yields `Judging`. Read them with `Verdicts`.

    Pairs of the two models (the first two where none are named) are judged in both orders; answers to items with a
    reference get a grade. Verdicts that are there already, of the same weights and words on the same answers, are not
    made again. A text too long for the judge is kept with its sentence. ``stop`` ends it after the verdict it is at.
    """
    models_given(judge)
    answers = Answers.read(folder)
    names = two_of(answers, models) if models is not None or len(answers.models) > 1 else None
    found = pairs(answers, names)[0] if names else []
    items = {item.id: item for item in answers.suite.items}
    graded = [row for row in answers.rows if items[row["item"]].reference and not row.get("error")
              and (names is None or row["model"] in names)]  # fmt: skip
    return _judge(judge, Path(folder), found, graded, items, stop or threading.Event())


def _judge(
    judge: Model, folder: Path, found: Sequence[Pair], graded: Sequence[dict[str, Any]], items: dict[str, Item],
    stop: threading.Event,
) -> Generator[Judging, None, None]:  # fmt: skip
    about = {"judge": judge.name, "weights": judge.weights_hash, "identity": digest(identity(judge))}
    done = {row["key"] for row in _rows(folder)}
    work: list[tuple[str, Pair | dict[str, Any]]] = [
        (digest(["pair", about["identity"], PAIR, *one.keys]), one) for one in found
    ]
    work += [(digest(["grade", about["identity"], GRADE, items[one["item"]].reference, one["key"]]), one)
             for one in graded]  # fmt: skip
    count = sum(key in done for key, _ in work)
    yield Judging(count, len(work), "")
    for key, one in work:
        if key in done:
            continue
        if stop.is_set():
            return
        try:
            row = _pair(judge, one) if isinstance(one, Pair) else _graded(judge, items[one["item"]], one)
        except ContextLengthError as error:
            about_one = _of_pair(one) if isinstance(one, Pair) else _of_row(one)
            row = about_one | {"error": str(error)}
        journal.append(folder / FILE, {"key": key, **about, **row})
        count += 1
        yield Judging(count, len(work), row["item"])


def _of_pair(pair: Pair) -> dict[str, Any]:
    return {"kind": "pair", "item": pair.item.id, "sample": pair.sample, "first": pair.first, "second": pair.second,
            "keys": list(pair.keys)}  # fmt: skip


def _of_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "grade", "item": row["item"], "sample": row.get("sample", 0), "model": row["model"],
            "keys": [row["key"]]}  # fmt: skip


def _pair(judge: Model, pair: Pair) -> dict[str, Any]:
    """``shares``: of the first model's answer, shown as A and then as B; ``verdict`` "first", "second" or "tie" (the
    orders disagree); ``confidence`` the mean share of the one preferred, of the first for a tie."""
    as_a, mass = prefer(judge, pair_question(pair.item, *pair.answers))
    as_b, other = prefer(judge, pair_question(pair.item, *reversed(pair.answers)))
    shares = [as_a, 1 - as_b]
    verdict = "first" if min(shares) > 0.5 else "second" if max(shares) < 0.5 else "tie"
    mean = sum(shares) / 2
    return _of_pair(pair) | {"verdict": verdict, "confidence": 1 - mean if verdict == "second" else mean,
                             "shares": shares, "mass": [mass, other]}  # fmt: skip


def _graded(judge: Model, item: Item, row: dict[str, Any]) -> dict[str, Any]:
    expected, shares, mass = grade(judge, grade_question(item, row["answers"]))
    return _of_row(row) | {"grade": expected, "shares": shares, "mass": mass}


def _rows(folder: Path) -> list[dict[str, Any]]:
    return journal.lines(folder / FILE, {"key": str, "kind": str, "item": str, "judge": str, "keys": list})


@dataclass(frozen=True, eq=False)
class Verdicts(Result):
    """What one ``judge`` (its name and weights hash) said of two models: ``tallies`` of the pairs, ``position`` how
    often A was preferred (each pair is shown twice, so its interval is on the narrow side), ``agreed`` in how many of
    the pairs both orders gave the same, ``mass`` the mean probability of the allowed letters, ``rows`` everything."""

    judge: str
    weights: str
    models: tuple[str, ...]
    tallies: tuple[Tally, ...]
    position: Position
    agreed: int
    mass: float
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, folder: str | Path, models: Sequence[str] | None = None) -> list[Verdicts]:
        """The verdicts in a folder, a `Verdicts` a judge, in the order of their coming; those on other answers than the
        folder's do not count. Raises FileFormatError, ComparisonError."""
        answers = Answers.read(folder)
        kept = {row["key"] for row in answers.rows}
        by_judge: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
        for row in _rows(Path(folder)):
            if all(key in kept for key in row["keys"]):
                judge = (row["judge"], str(row.get("weights")), str(row.get("identity")))
                by_judge.setdefault(judge, {})[row["key"]] = row
        names: tuple[str, ...] = answers.models[:1]
        if models is not None or len(answers.models) > 1:
            names = two_of(answers, models)
        return [cls._of(answers, names, name, weights, list(rows.values()))
                for (name, weights, _), rows in by_judge.items()]  # fmt: skip

    @classmethod
    def _of(
        cls, answers: Answers, names: tuple[str, ...], judge: str, weights: str, rows: list[dict[str, Any]]
    ) -> Verdicts:
        category = {item.id: item.category for item in answers.suite.items}
        found = [row for row in rows if row["kind"] == "pair" and "verdict" in row
                 and {row["first"], row["second"]} == set(names)]  # fmt: skip
        outcomes, letters = [], []
        for row in found:
            value = {"first": 1.0, "second": 0.0, "tie": 0.5}[row["verdict"]]
            outcomes.append(Outcome(row["item"], category[row["item"]],
                                    value if row["first"] == names[0] else 1 - value))  # fmt: skip
            as_a, as_b = row["shares"]
            letters += [as_a > 0.5, as_b < 0.5]
        mass = float(np.mean([row["mass"] for row in found])) if found else float("nan")
        both = (names[0], names[1]) if len(names) == 2 else None
        tallies = preference.tallies(both, outcomes) if both else []
        return cls(judge, weights, names, tuple(tallies), preference.position(sum(letters), len(letters)),
                   sum(row["verdict"] != "tie" for row in found), mass, tuple(rows))  # fmt: skip

    def table(self) -> pd.DataFrame:
        """`Tally` by model and category."""
        return preference.table(self.tallies)

    def grades(self) -> pd.DataFrame:
        """A row for each graded answer: item, sample, model, grade (1 to 10), mass."""
        names = ["item", "sample", "model", "grade", "mass"]
        rows = [[row.get(name) for name in names] for row in self.rows if row["kind"] == "grade" and "grade" in row]
        return pd.DataFrame(rows, columns=names)

    def as_json(self) -> dict[str, Any]:
        """The verdicts as JSON-able data; None where there is no number."""
        grades = self.grades().to_dict("records")
        return {
            "judge": self.judge, "weights": self.weights, "models": list(self.models), "sentence": self.sentence,
            "tallies": preference.plain(self.tallies), "position": preference.plain([self.position])[0],
            "agreed": self.agreed, "grades": grades, "rows": list(self.rows),
        }  # fmt: skip

    @property
    def sentence(self) -> str:
        """What the judge said, with its bias for a place."""
        grades = self.grades()
        told = [f"Judge {self.judge}:"]
        if self.position.n:
            at = self.position
            told.append(preference.sentence(self.tallies))
            told.append(f"Both orders agreed in {self.agreed} of {at.n // 2} pairs; A was preferred in {at.share:.0%} "
                        f"of the showings ({at.low:.0%} to {at.high:.0%}); A and B had {self.mass:.1%} of the "
                        "probability at the answer's place.")  # fmt: skip
        for model in dict.fromkeys(grades["model"]):
            chosen = grades[grades["model"] == model]
            told.append(f"{model}: mean grade {chosen['grade'].mean():.2f} of {len(chosen)} answers.")
        return " ".join(told) if len(told) > 1 else f"{told[0]} nothing judged."

    @property
    def provenance(self) -> dict[str, Any]:
        """The judge and its weights' hash; the answers' own stays with their folder."""
        return {"judge": self.judge, "weights": self.weights, "models": list(self.models)}

    def to_dataframe(self) -> pd.DataFrame:
        """`table` as a flat one: a row a model and category."""
        return flat(self.table())

    def figure(self) -> Any:
        """A plotly figure: win rates with their intervals by model and category. Raises WorkbenchError without plotly
        or without verdicts on pairs."""
        return importlib.import_module("workbench.figures.dots").wins_figure(self.to_dataframe())

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """Tallies of the pairs, then the grades."""
        return [("Pairs", self.table()), ("Grades", self.grades())]

    def __repr__(self) -> str:
        return f"Verdicts({self.judge}: {len(self.rows)} verdicts on {' and '.join(self.models)})"
