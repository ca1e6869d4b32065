"""The token strip as a widget, of a run that is over or of one that is being generated."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from workbench.chat.encoding import EncodedPrompt
from workbench.errors import CaptureError
from workbench.generation.decoding import Step
from workbench.inspection import Inspection, Run
from workbench.views import tokens
from workbench.views.arrays import number
from workbench.widgets import static
from workbench.widgets.base import WITHOUT, View, script
from workbench.widgets.runview import answered, name_of, shown_runs
from workbench.widgets.selection import placed

LISTS = ("tokens", "ids", "roles", "logprob", "rank", "entropy", "alternatives")
PACE = 0.08
"""Seconds between two updates of a page, at least: twelve a second."""
_SPECIAL = ("<s>", "</s>", "<unk>")


class TokenStrip(View):
    """Every token of a run, coloured by how sure the model was of it; click one, or walk with the arrow keys.

    Of an Inspection it shows all. Of a Run it shows the prompt and follows the reply::

        run = model.generate("Once upon a time")
        display(widgets.TokenStrip(run))
        for step in run:
            ...  # the strip shows each as it comes; when the run is over, it is the strip of its inspection

    Of an encoded prompt it shows the prompt, and what `extend` adds. ``selection``: {"run", "token"}, read and set from
    Python, negative tokens count from the end. ``mode``: the colour, one of probability, surprise, entropy. ``live``:
    whether tokens are still being added; then the state holds them, so that a page shows them while its cell runs, and
    afterwards it holds none.

    A loop that is left by ``break`` does not end its run: the state keeps its tokens (250 kB of a long text) until
    ``run.close()`` or `finish()`.
    """

    DRAWN_BY = "strip"

    mode = traitlets.Enum(("probability", "surprise", "entropy"), default_value="probability").tag(sync=True)
    live: Any = traitlets.Bool(False, read_only=True).tag(sync=True)
    begun: Any = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)
    grown: Any = traitlets.Dict(default_value=None, allow_none=True, read_only=True).tag(sync=True)

    def __init__(
        self, found: Inspection | Run | EncodedPrompt, *, token: int | None = None, name: str | None = None
    ) -> None:
        """The strip of ``found``, at ``token``; without one, at the first of the reply, or at the end of a prompt.
        ``name`` is shown on it, the model's name by default."""
        if not isinstance(found, Inspection | Run | EncodedPrompt):
            raise CaptureError(
                f"a token strip of {type(found).__name__} cannot be made",
                expected="an Inspection, a Run or an encoded prompt",
            )
        self._run = found if isinstance(found, Run) else None
        self._inspection = found if isinstance(found, Inspection) else None
        self._sent, self._kept = 0.0, 0
        self._lock = threading.RLock()  # a page's questions may come in another thread while a cell runs
        if isinstance(found, Inspection):
            self._payload = tokens.pack(found)
        else:
            self._payload = _reading(found.prompt if isinstance(found, Run) else found)
        self._name = name or self._named()
        super().__init__()
        self.set_trait("runs", self._shown())
        if isinstance(found, Run) and found.finish_reason is not None:
            self.finish(found.inspection)
        elif self._inspection is None:
            self._tell(now=True)
        if self._run is not None and self._inspection is None:
            self.extend(self._run.steps)
            self._run.watch(self._step)
        first = min(self._payload["prompt_length"], len(self) - 1) if token is None else token
        self.selection = {"run": self._name, "token": first}

    def extend(self, steps: Step | Iterable[Step]) -> None:
        """Add the next tokens of the reply: a `Step` of a run, or several. Pages are told at most twelve times a second
        (`PACE`); `finish` tells the rest. Raises CaptureError for a step that does not follow the last token."""
        if self._inspection is not None:
            raise CaptureError("this strip is over", expected="a strip of a run that is going on, or of a prompt")
        with self._lock:
            try:
                for step in [steps] if isinstance(steps, Step) else steps:
                    self._add(step)
            finally:
                self._tell()

    def finish(self, inspection: Inspection | None = None) -> None:
        """The reply is over: the state forgets its tokens, and ``inspection`` answers for them from now on. Raises
        CaptureError for the inspection of another text."""
        if inspection is not None:
            shown = self._payload["ids"]
            if [int(one) for one in inspection.ids[: len(shown)]] != shown:
                raise CaptureError("the inspection is of another text than the strip", expected="the same token ids")
            self._inspection, self._payload = inspection, tokens.pack(inspection)
            self.set_trait("runs", self._shown())
        self._settle()

    def check_selection(self, wanted: Any) -> dict[str, Any]:
        if not isinstance(wanted, Mapping) or not set(wanted) <= {"run", "token"}:
            given = ", ".join(map(str, wanted))[:60] if isinstance(wanted, Mapping) else type(wanted).__name__
            raise CaptureError(f"a selection of {given} is unknown", expected="token, and run where it is named")
        if wanted.get("run", self._name) != self._name:
            raise CaptureError(f"this widget has no run {str(wanted['run'])[:40]!r}", expected=repr(self._name))
        token = wanted.get("token", self.selection.get("token", 0))
        return {"run": self._name, "token": placed(token, len(self), "token")}

    def fit_selection(self, other: Mapping[str, Any]) -> dict[str, Any]:
        token = other.get("token")
        return self.selection | ({"token": token} if isinstance(token, int) and 0 <= token < len(self) else {})

    def answer(self, request: Any) -> dict[str, Any]:
        """The payload for {"kind": "open"}, and, of a run that is over, for "data", "code" and "page" as `RunView`
        answers them. Raises WorkbenchError, in a sentence, for what does not exist."""
        if not isinstance(request, dict) or request.get("kind") == "script":
            return super().answer(request)
        if request.get("kind") == "open":
            with self._lock:
                return {"tokens": self._payload | {name: self._payload[name][:] for name in LISTS}}
        if self._inspection is None:
            raise CaptureError("the run is not over", remedy="Wait for its end")
        return answered({self._name: self._inspection}, None, request)

    def static(self) -> str:
        return static.spans(self._payload, self.selection["token"])

    def __len__(self) -> int:
        """Tokens shown by now."""
        return len(self._payload["tokens"])

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        state = ", being written" if self.live else ""
        return f"TokenStrip({self._name}: {len(self)} tokens{state}). {WITHOUT}"

    def _named(self) -> str:
        if self._inspection is not None:
            return name_of(self._inspection)
        return "reply" if self._run is None else self._run._model.name.rstrip("/").rsplit("/", 1)[-1]

    def _shown(self) -> list[dict[str, Any]]:
        if self._inspection is not None:
            return shown_runs({self._name: self._inspection})
        prompt = self._payload["prompt_length"]
        summary = f"{prompt} + {len(self) - prompt} tokens"
        return [{"name": self._name, "tone": "a", "summary": summary, "tokens": len(self), "layers": 0, "heads": []}]

    def _add(self, step: Step) -> None:
        if step.position != len(self):
            raise CaptureError(
                f"the step at position {step.position} does not follow", expected=f"position {len(self)}"
            )
        best = [[piece, number(logprob), token] for token, piece, logprob in step.top]
        role = "special" if step.piece in _SPECIAL else "assistant"
        row = (step.piece, step.token_id, role, number(step.logprob), step.rank, number(step.entropy), best)
        for name, value in zip(LISTS, row, strict=True):
            self._payload[name].append(value)
        self._payload["given"] += step.given

    def _step(self, step: Step | None) -> None:
        """The run of this strip has made a step, or is over."""
        assert self._run is not None
        if step is not None:
            self.extend(step)
        elif self._inspection is None:
            self.finish(None if self._run.finish_reason is None else self._run.inspection)

    def _tell(self, now: bool = False) -> None:
        """Tell the pages: what came since `begun`, and once that is a quarter of it, a new `begun`."""
        if not now and time.monotonic() - self._sent < PACE:
            return
        begins = self.begun is None or len(self) - self._kept > 32 + self._kept // 4
        with self.hold_sync():
            self.set_trait("live", True)
            self.set_trait("runs", self._shown())
            self.script = script()
            if begins:
                self._kept = len(self)
                self.set_trait("begun", self._payload | {name: self._payload[name][:] for name in LISTS})
            more = {name: self._payload[name][self._kept :] for name in LISTS}
            self.set_trait("grown", {"from": self._kept, **more} if len(self) > self._kept else None)
        self._sent = time.monotonic()

    def _settle(self) -> None:
        """Leave nothing of the text in the state; pages ask for all of it."""
        with self.hold_sync():
            self.set_trait("runs", self._shown())
            self.script = ""
            for name, rest in (("live", False), ("begun", None), ("grown", None)):
                self.set_trait(name, rest)


def _reading(prompt: EncodedPrompt) -> dict[str, Any]:
    """The payload of a prompt of which nothing was captured yet."""
    known = {"tokens": [str(piece) for piece in prompt.tokens], "ids": [int(one) for one in prompt.ids]}
    unknown: dict[str, list[Any]] = {name: [None] * len(prompt.ids) for name in LISTS[3:]}
    return {
        "run": "", "model": "", "prompt_length": len(prompt.ids), "given": 0,
        "roles": [str(role) for role in prompt.roles], **known, **unknown,
    }  # fmt: skip
