"""What a list says of a run: when, which model, what was asked and answered, how long, with which settings."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import workbench as wb
from workbench.chat.guardrails import LABEL

QUESTION, REPLY = 124, 90
"""Characters of a question and of a reply that a list shows."""


@dataclass(frozen=True)
class RunFacts:
    """``kind`` is "inspection" (studies join with kinds of their own), ``origin`` "chat", "file" or "recorded";
    ``made`` seconds since 1970, None unknown; ``model`` the name with its switches, ``question`` and ``reply`` cut to a
    line; ``tokens`` of the prompt and ``new`` ones of the reply; ``settings`` in words; ``bytes`` that it holds."""

    kind: str
    origin: str
    made: float | None
    model: str
    question: str
    reply: str
    tokens: int
    new: int
    settings: str
    bytes: int

    @classmethod
    def of(cls, inspection: wb.Inspection, made: float | None, origin: str) -> RunFacts:
        return cls(
            kind="inspection",
            origin=origin,
            made=_created(inspection) if made is None else made,
            model=str(inspection.model["name"]),
            question=cut(asked(inspection), QUESTION),
            reply=cut(inspection.reply, REPLY),
            tokens=int(inspection.prompt_length),
            new=len(inspection.ids) - int(inspection.prompt_length),
            settings=settings_in_words(inspection),
            bytes=int(inspection.nbytes),
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def asked(inspection: wb.Inspection) -> str:
    """The last question, as far as the run knows it: its messages, else the user's tokens, else the text."""
    settings = inspection.provenance.get("settings")
    said = settings.get("prompt") if isinstance(settings, Mapping) else None
    if isinstance(said, str):
        return said
    if isinstance(said, list):
        for message in reversed(said):
            if isinstance(message, Mapping) and message.get("role") == "user":
                return str(message.get("content", ""))
    spans = [span for span, role in zip(inspection.spans, inspection.roles, strict=True) if role == "user" and span]
    end = next((i for i in range(len(spans) - 1, 0, -1) if spans[i - 1][1] < spans[i][0]), 0)  # of an earlier question
    return inspection.text[spans[end][0] : spans[-1][1]] if spans else inspection.text


def settings_in_words(inspection: wb.Inspection) -> str:
    """How the next token was chosen, in the words of a reply's footer; "read only" when nothing was generated; and the
    safe prompt, where it was read, and the cache policy."""
    settings = inspection.provenance.get("settings")
    words = _chosen(settings)
    if not isinstance(settings, Mapping):
        return words
    policy = settings.get("cache")
    parts = [words, LABEL if settings.get("safe_prompt") is True else "", f"cache {policy}" if policy else ""]
    return ", ".join(part for part in parts if part)


def _chosen(settings: Any) -> str:
    sampling = settings.get("sampling") if isinstance(settings, Mapping) else None
    if not isinstance(sampling, Mapping):
        return "read only"
    if not sampling.get("temperature"):
        return f"greedy, seed {sampling.get('seed', 0)}"
    parts = [f"temperature {sampling['temperature']:g}"]
    top_p, top_k = sampling.get("top_p"), sampling.get("top_k")
    if isinstance(top_p, int | float) and top_p < 1:
        parts.append(f"top-p {top_p:g}")
    if isinstance(top_k, int) and top_k > 0:
        parts.append(f"top-k {top_k}")
    return ", ".join([*parts, f"seed {sampling.get('seed', 0)}"])


def cut(text: str, most: int) -> str:
    """One line of at most ``most`` characters; of a long one the end, where a question stands, stays as well."""
    short = len(text) <= 4 * most
    line = " ".join((text if short else f"{text[: 2 * most]} {text[-2 * most :]}").split())
    if short and len(line) <= most:
        return line
    return f"{line[: most // 2].rstrip()} … {line[-(most // 2) :].lstrip()}"


def _created(inspection: wb.Inspection) -> float | None:
    """When the run was made, by its own word."""
    try:
        return datetime.datetime.fromisoformat(str(inspection.provenance.get("created"))).timestamp()
    except (ValueError, OverflowError):
        return None
