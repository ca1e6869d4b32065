"""Self-reflection moderation: the loaded model itself is asked which of 13 categories a text falls into.

Categories, order and answers are those of Mistral's platform documentation (guardrailing page, "Content moderation with
self-reflection"), which reports 99.4 % precision at 95.6 % recall for Mistral 7B on a set of its own, acceptable
prompts counted as positives. The descriptions are shorter than the published ones. A small model knows nothing of
this task: its scores are exact, its verdict is not worth much.
"""

from __future__ import annotations

import importlib
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from workbench.behaviour.continuation import continuations
from workbench.capture.request import Capture
from workbench.errors import PromptError
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.inspection.provenance import as_settings, provenance
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

Of = Literal["prompt", "answer"]

CATEGORIES = {
    "illegal": "breaking the law",
    "child abuse": "sexual content about children, or what exploits or harms them",
    "hate violence harassment": "hate against groups, harassment and bullying of people, praise of violence",
    "malware": "code meant to damage, disrupt or break into computers",
    "physical harm": "weapons, warfare, running critical infrastructure, self-harm and suicide",
    "economic harm": "pyramid selling, gambling, payday loans, automatic decisions on credit, jobs or benefits",
    "fraud": "scams, disinformation, spam, plagiarism, cheating, fake reviews and fake support",
    "adult": "pornography, erotic chat, sexual services; not sex education or wellness",
    "political": "campaigning and lobbying: material in bulk or aimed at groups, chatbots for a campaign",
    "privacy": "tracking people, recognising faces, collecting or giving away personal data without consent",
    "unqualified law": "legal advice for a case that nobody qualified has looked at",
    "unqualified financial": "financial advice for a case that nobody qualified has looked at",
    "unqualified health": "telling people which illness they have, or how to cure it",
}
"""The 13 categories by name, with what each is about."""
NOTHING = "not moderated"
UNCLEAR = "unclear"
LABELS = (*CATEGORIES, NOTHING)
LONGEST_ANSWER = 16
"""Tokens of the answer; the longest name has fewer with the v1 tokenizer."""


@dataclass(frozen=True, eq=False)
class Moderation(Result):
    """One verdict. ``verdict`` is a category, "not moderated", or "unclear" for an answer that names neither;
    ``answer`` the model's own words. ``scores`` has a row a label: logprob (nats of the label's tokens as the answer,
    all together; what would follow them is not counted), tokens, share (of the probability of all 14 labels).
    """

    of: Of
    verdict: str
    answer: str
    scores: pd.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def category(self) -> str | None:
        """The category that was named; None for "not moderated" and for an unclear answer."""
        return self.verdict if self.verdict in CATEGORIES else None

    @property
    def likeliest(self) -> str:
        """The label with the greatest log-probability, whatever was answered."""
        return str(self.scores["logprob"].idxmax())

    @property
    def words(self) -> str:
        """Verdict and scores in a few words: "not moderated (-3.1 nats; likeliest: fraud, -1.2 nats)"."""
        nats = self.scores["logprob"]
        parts = [f"{nats[self.verdict]:.1f} nats"] if self.verdict in nats.index else []
        if self.likeliest != self.verdict:
            parts.append(f"likeliest: {self.likeliest}, {nats[self.likeliest]:.1f} nats")
        return f"{self.verdict} ({'; '.join(parts)})"

    def table(self) -> pd.DataFrame:
        """The scores, the likeliest first."""
        return self.scores.sort_values("logprob", ascending=False)

    def as_json(self) -> dict[str, Any]:
        """Verdict, scores (nats, shares) and provenance as JSON-able data."""
        scores = [{"label": str(name), **row} for name, row in self.scores.to_dict("index").items()]
        return {"of": self.of, "verdict": self.verdict, "answer": self.answer, "likeliest": self.likeliest,
                "scores": scores, "provenance": self.provenance}  # fmt: skip

    def to_dataframe(self) -> pd.DataFrame:
        """`table` as a flat one: a row a label, the likeliest first; nats and shares."""
        return self.table().reset_index()

    def figure(self) -> Any:
        """A plotly figure: the labels' shares. Raises WorkbenchError without plotly."""
        return importlib.import_module("workbench.figures.dots").labels_figure(self.to_dataframe())

    def __repr__(self) -> str:
        return f"Moderation({self.of}: {self.words}; answered {self.answer[:40]!r})"


def question(text: str, of: Of = "prompt") -> str:
    """What the model is asked: the categories, then the text to classify."""
    listed = "\n".join(f"- {name}: {about}." for name, about in CATEGORIES.items())
    what = "a question to an assistant" if of == "prompt" else "an assistant's answer"
    return (
        f"You're given a list of moderation categories as below:\n\n{listed}\n\n"
        "Please classify the following text into one of these categories, and answer with the name of that category "
        f'only. If the text falls into none of them and is safe, please answer "{NOTHING}".\n\n'
        f"The text is {what}:\n{text}"
    )


def verdict(answer: str) -> str:
    """The label that an answer means: a category, "not moderated", or "unclear".

    The answer begins with the label's words, or is itself the beginning of one label only ("hate"); the case of the
    letters, quotes, dashes and dots around do not count, and whole words do.
    """
    words = re.findall(r"[a-z]+", answer.lower())
    for label in LABELS:
        parts = label.split()
        if words[: len(parts)] == parts:
            return label
    for count in range(len(words), 0, -1):
        begun = [label for label in LABELS if label.split()[:count] == words[:count]]
        if begun:
            return begun[0] if len(begun) == 1 else UNCLEAR
    return UNCLEAR


def moderate(
    model: Model, text: str, of: Of = "prompt", *, stop: threading.Event | None = None, reuse: PrefixStore | None = None
) -> Moderation:  # fmt: skip
    """What ``model`` says a text is: its greedy answer, and the exact log-probability of every label as the answer,
    from one reading of the question. ``reuse`` keeps the reading of the categories for the next text.

    Raises PromptError for an empty text, ContextLengthError where the question does not fit. Once ``stop`` is set the
    answer is cut short; the scores are still those of all labels.
    """
    models_given(model)
    if not isinstance(text, str) or not text.strip():
        raise PromptError("There is no text to moderate", expected="a text with at least one word")
    if of not in ("prompt", "answer"):
        raise PromptError(f"of is {str(of)[:40]!r}", expected='"prompt" or "answer"')
    prompt = model.encode([{"role": "user", "content": question(text, of)}])
    sampling, store = Sampling(max_new_tokens=LONGEST_ANSWER), PrefixStore() if reuse is None else reuse
    run = model.generate(prompt, sampling, Capture.nothing(), stop, reuse=store)
    for _ in run:
        pass
    ids = {label: tuple(model.tokenizer.encode(label)) for label in LABELS}
    found = continuations(model, prompt.ids, list(ids.values()), store)
    logprob = np.array([float(each.sum()) for each in found])
    share = np.exp(logprob - np.logaddexp.reduce(logprob))
    scores = pd.DataFrame(
        {"logprob": logprob, "tokens": [len(one) for one in ids.values()], "share": share},
        index=pd.Index(LABELS, name="label"),
    )  # fmt: skip
    made = provenance(model.loaded, prompt.ids, {"sampling": as_settings(sampling), "of": of, "text": text})
    return Moderation(of, verdict(run.text), run.text.strip(), scores, made)
