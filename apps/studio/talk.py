"""What one model was asked and answered, with how every version of every reply came about."""

from __future__ import annotations

from dataclasses import dataclass, field

import workbench as wb
from apps.studio.presets import CUSTOM, preset_of
from workbench.errors import PromptError

BROKEN = "broken off"
"""The finish reason of a reply that a fault ended."""
ENDS = {
    "stopped": "stopped", "length": "cut at the limit", "stop string": "ended at a stop string", BROKEN: BROKEN,
}  # fmt: skip
"""Finish reasons worth a word; "eos", the usual end, is not."""


@dataclass(frozen=True)
class Reply:
    """How one version of a reply came about.

    ``model`` is the full name of the model, ``switched`` what of it was switched, in words ("" nothing); ``run`` the id
    of its inspection ("" none). ``tokens`` were written, ``given`` of them in advance; ``seconds`` for all,
    ``tokens_per_second`` while decoding (0 unknown); ``used`` of ``context`` tokens were taken afterwards. ``origin``
    is "" for one written here, else "recorded" or "imported"; ``moderated`` what the model said of question and answer.
    """

    model: str
    switched: str = ""
    run: str = ""
    sampling: wb.Sampling = field(default_factory=wb.Sampling)
    tokens: int = 0
    given: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    used: int = 0
    context: int = 0
    finish: str = ""
    origin: str = ""
    moderated: str = ""

    @classmethod
    def of(
        cls, inspection: wb.Inspection, run: str, sampling: wb.Sampling, switched: str, origin: str = "",
        moderated: str = "",
    ) -> Reply:  # fmt: skip
        """Of a run that ended."""
        timings = inspection.timings
        return cls(
            model=str(inspection.model["name"]),
            switched=switched,
            run=run,
            sampling=sampling,
            tokens=len(inspection.steps),
            given=inspection.record.given,
            seconds=float(timings.get("prefill", 0.0)) + float(timings.get("decode", 0.0)),
            tokens_per_second=float(timings.get("tokens_per_second", 0.0)),
            used=len(inspection.ids),
            context=int(inspection.model["context"]),
            finish=str(inspection.record.finish_reason or ""),
            origin=origin,
            moderated=moderated,
        )

    @property
    def footer(self) -> str:
        """Model switches, speed, length, settings and seed in one line."""
        parts = [self.origin, self.switched]
        if self.tokens_per_second:
            parts.append(f"{self.tokens_per_second:.0f} tokens/s")
        parts.append(f"{self.tokens} tokens" + (f" ({self.given} given)" if self.given else ""))
        parts += [settings_in_words(self.sampling), ENDS.get(self.finish, ""), self.moderated]
        return " · ".join(part for part in parts if part)


def settings_in_words(sampling: wb.Sampling) -> str:
    """Preset, settings and seed: "greedy, seed 0", "balanced: temperature 0.7, top-p 0.9, seed 3"."""
    parts = [] if sampling.temperature == 0 else [f"temperature {sampling.temperature:g}", f"top-p {sampling.top_p:g}"]
    if sampling.top_k and sampling.temperature:
        parts.append(f"top-k {sampling.top_k}")
    if sampling.repetition_penalty != 1:
        parts.append(f"repetition penalty {sampling.repetition_penalty:g}")
    words = ", ".join([*parts, f"seed {sampling.seed}"])
    preset = preset_of(sampling)
    return words if preset == CUSTOM else f"{preset.lower()}{':' if parts else ','} {words}"


@dataclass(frozen=True)
class Talk:
    """A conversation with one model, immutable. ``made[i][v]`` tells of version v of message i; None where nothing is
    known of it, as of a question."""

    said: wb.Conversation = field(default_factory=wb.Conversation)
    made: tuple[tuple[Reply | None, ...], ...] = ()

    def __post_init__(self) -> None:
        assert [len(replies) for replies in self.made] == [len(texts) for texts in self.said.versions]

    @classmethod
    def of(cls, said: wb.Conversation) -> Talk:
        """A conversation of which nothing but the text is known."""
        return cls(said, tuple((None,) * len(texts) for texts in said.versions))

    def __len__(self) -> int:
        return len(self.said)

    def question(self, text: str) -> Talk:
        return Talk(self.said.add("user", text), (*self.made, (None,)))

    def answer(self, text: str, reply: Reply | None) -> Talk:
        return Talk(self.said.add("assistant", text), (*self.made, (reply,)))

    def version(self, text: str, reply: Reply | None) -> Talk:
        """Another version of the last message."""
        return Talk(self.said.add_version(-1, text), (*self.made[:-1], (*self.made[-1], reply)))

    def fork(self, length: int) -> Talk:
        return Talk(self.said.fork(length), self.made[:length])

    def choose(self, index: int, version: int) -> Talk:
        """Another version of message ``index`` shown; what came after the present one goes."""
        said = self.said.choose(index, version)
        return Talk(said, self.made[: len(said)])

    def edit(self, index: int, text: str) -> Talk:
        """Up to message ``index``, a question, with another text."""
        if not 0 <= index < len(self) or self.said[index].role != "user":
            raise PromptError("Only a question can be edited")
        return self.fork(index).question(text)

    def settled(self) -> Talk:
        """Without a last question that got no answer, or an empty answer."""
        talk = self
        while len(talk) and (talk.said[-1].role == "user" or not talk.said[-1].content):
            talk = talk.fork(len(talk.said.undo()))
        return talk

    def reply(self, index: int) -> Reply | None:
        """How the shown version of message ``index`` came about."""
        return self.made[index][self.said.chosen[index]]

    def last(self) -> int | None:
        """The place of the last reply."""
        places = [i for i, role in enumerate(self.said.roles) if role == "assistant"]
        return places[-1] if places else None

    def find(self, run: str) -> tuple[int, int] | None:
        """(message, version) of the reply whose inspection is ``run``."""
        for index, replies in enumerate(self.made):
            for version, reply in enumerate(replies):
                if reply is not None and reply.run and reply.run == run:
                    return index, version
        return None

    def seeds(self, index: int = -1) -> set[int]:
        """Seeds that versions of the reply at ``index`` were drawn with."""
        made = self.made[index] if -len(self.made) <= index < len(self.made) else ()
        return {reply.sampling.seed for reply in made if reply is not None and reply.sampling.temperature > 0}
