"""A chat in a notebook with one model or two: replies stream in, and every token of them can be looked into."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from workbench.capture.request import Capture
from workbench.chat.conversation import Message
from workbench.comparison import Comparison
from workbench.errors import CaptureError, PromptError, WorkbenchError
from workbench.generation.sampling import Sampling
from workbench.inspection import Inspection
from workbench.model import Model
from workbench.widgets.base import FOLDER, WITHOUT
from workbench.widgets.inspector import TABS
from workbench.widgets.runview import answered, shown_runs
from workbench.widgets.selection import checked, first_look, fitted
from workbench.widgets.turns import Reply, Turn, Turns
from workbench.widgets.writers import Writers
from workbench.widgets.writing import Writing, start

WAIT = 0.2  # seconds between two looks at the keyboard while a reply is waited for


class Chat(Writers):
    """A conversation with one model, or with two that get the same questions.

    From Python: ``ask(text)`` starts a reply, ``wait()`` waits for it, ``stop()`` ends it within one step. ``messages``
    is what was said, and can be set; ``inspections`` are the replies' inspections, the oldest first; ``last`` is that
    of the last reply, or the comparison of the last two. ``sampling``, ``capture``, ``cache`` and ``models`` hold from
    the next question on.

    ``selection`` {"run": a model's name, "token", "layer", "head"}, ``tab`` and ``difference`` as in `Inspector`, of
    the reply number ``turn`` (from 0). ``busy``: a reply is being written. ``note``: why the last question has no
    reply, a sentence. All of them can be observed; observers of what a reply changes are called in its thread. The
    models write in worker threads: the kernel stays free for other cells.
    """

    DRAWN_BY = "chatbox"
    _css: Any = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("widget.css", "chat.css"))

    turn = traitlets.Int(-1).tag(sync=True)
    parts = traitlets.List(default_value=["tokens", "tabs"]).tag(sync=True)  # of the widget below, see widget.js
    opened = traitlets.Int(0).tag(sync=True)  # grows when another turn is to be drawn
    busy = traitlets.Bool(False, read_only=True).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    tab = traitlets.Enum(TABS, default_value="attention").tag(sync=True)
    difference = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, *models: Model, sampling: Sampling | None = None, capture: Capture | None = None,
        cache: str | None = None, messages: Iterable[Message | Mapping[str, Any]] = (), keep: int = 8,
    ) -> None:  # fmt: skip
        """``capture`` None records what a click can ask for, as far as it fits. ``cache`` is a cache policy as
        `Model.generate` takes it. ``keep``: so many turns hold on to their inspections, the last ones.

        Raises WorkbenchError for something else than one or two models, and for what `Sampling`, `Capture` or the
        messages cannot be.
        """
        self._turns, self._writings = Turns(), list[Writing]()
        self._found: Inspection | Comparison | None = None
        self._runs: dict[str, Inspection] = {}
        self._over = threading.Event()
        self._over.set()
        self._lock = threading.RLock()
        self._keep = max(1, keep)
        self._question, self._asked, self._at = "", list[str](), -1
        super().__init__(models, sampling, capture, cache)
        self.messages = messages  # type: ignore[assignment]

    @property
    def messages(self) -> list[dict[str, str]]:
        """{"role", "content"} each, a reply with the name of its "model". Set them to go on from another conversation:
        pairs of question and reply, a system message first where there is one."""
        return self._turns.messages()

    @messages.setter
    def messages(self, messages: Iterable[Message | Mapping[str, Any]]) -> None:
        self._free()
        self._turns = Turns.of(messages, self.names)
        self._show(len(self._turns) - 1)

    @property
    def inspections(self) -> list[Inspection]:
        """Of every reply that holds one, in the order of ``messages``."""
        return [one for turn in self._turns for one in turn.runs.values()]

    @property
    def last(self) -> Inspection | Comparison | None:
        """What the last question gave: an inspection, of two models their comparison; None before the first."""
        return next((found for turn in reversed(self._turns.turns) if (found := turn.found()) is not None), None)

    def ask(self, question: str) -> None:
        """Have ``question`` answered, in worker threads; `wait` waits for the end. Raises WorkbenchError while a reply
        is being written, PromptError for no question."""
        if not isinstance(question, str) or not question.strip():
            raise PromptError("There is no question", expected="a text")
        with self._lock:
            self._free()
            self._over.clear()
        settings = self.settings
        try:
            self._writings = [
                Writing(side, model, self._turns.said(side, question), settings)
                for side, model in enumerate(self._models)
            ]
        except BaseException:
            self._over.set()
            raise
        self._question, self._asked = question, self.names
        self.note = ""
        self.set_trait("busy", True)
        self.send({"chat": "begun", "question": question})
        start(self._writings, self._tell, self._end)

    def wait(self, timeout: float | None = None) -> Inspection | Comparison | None:
        """Wait until the reply is there, at most ``timeout`` seconds; returns `last`. An interrupt stops the reply."""
        rest = timeout
        try:
            while not self._over.wait(WAIT if rest is None else min(WAIT, max(0.0, rest))):
                rest = None if rest is None else rest - WAIT
                if rest is not None and rest <= 0:
                    raise WorkbenchError(f"No reply in {timeout:g} seconds", remedy="Wait again, or call stop()")
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.last

    def stop(self) -> None:
        """End the reply that is being written, before its next token; what there is of it stays."""
        for one in self._writings:
            one.stop.set()

    def undo(self) -> None:
        """Take the last question back."""
        self._free()
        if not len(self._turns):
            raise PromptError("There is nothing to undo: nothing was said yet")
        self._turns = self._turns.undo()
        self._show(len(self._turns) - 1)

    def clear(self) -> None:
        """Begin anew, with the same system message."""
        self._free()
        self._store.clear()
        self._turns = Turns(self._turns.system)
        self._show(-1)

    def close(self) -> None:
        self.stop()
        super().close()

    def _free(self) -> None:
        if not self._over.is_set():
            raise WorkbenchError("A reply is being written", remedy="Wait for its end, or stop it")

    # What the page is told.

    def _tell(self, writing: Writing) -> None:
        self.send({"chat": "part"} | writing.part())

    def _end(self) -> None:
        """Enter the replies; called in the thread of the last worker."""
        question, names = self._question, self._asked
        replies: list[Reply | None] = []
        notes = []
        for one in self._writings:
            run, name = one.run, names[one.side]
            wrote = not one.error and run is not None and run.steps
            replies.append(Reply(name, one.text, run.inspection) if run is not None and wrote else None)
            if not wrote:
                notes.append((f"{name}: " if len(names) > 1 else "") + (one.error or "Stopped before the first word."))
        try:
            if any(replies):
                self._turns = self._turns.add(Turn(question, tuple(replies)), self._keep)
            self._writings = []
            self._show(len(self._turns) - 1)
        finally:
            self.note = " ".join(notes)
            self._over.set()
            self.set_trait("busy", False)
            self.send({"chat": "over", "back": "" if any(replies) else question})

    def _show(self, turn: int) -> None:
        """Turn to the replies of ``turn``, -1 for none."""
        self.send({"chat": "leaving"})
        before, self._at = self.selection, turn
        self._found = self._turns[turn].found() if 0 <= turn < len(self._turns) else None
        self._runs = self._turns[turn].runs if self._found is not None else {}
        with self.hold_sync():
            self.set_trait("runs", shown_runs(self._runs))
            pair = self._found if isinstance(self._found, Comparison) else None
            self.difference = pair is not None
            if self._runs:
                parted = None if pair is None or pair.parting.chosen[0] is None else pair.parting.chosen[0].position
                first = first_look(self._runs, parted)
                wish: dict[str, Any] = {part: before[part] for part in ("layer", "head") if part in before}
                self.selection = fitted(self.runs, wish, first)
            self.turn = turn
            self.opened += 1

    @traitlets.validate("turn")
    def _existing(self, proposal: Any) -> int:
        if not -1 <= proposal["value"] < len(self._turns):
            raise PromptError(f"There is no turn {proposal['value']}", expected=f"0 to {len(self._turns) - 1}")
        return int(proposal["value"])

    @traitlets.observe("turn")
    def _turned(self, change: Any) -> None:
        if change["new"] != self._at:
            self._show(change["new"])

    @traitlets.validate("difference")
    def _comparable(self, proposal: Any) -> bool:
        if proposal["value"] and not isinstance(self._found, Comparison):
            raise CaptureError("there are no two replies to compare", expected="a chat with two models")
        return bool(proposal["value"])

    def check_selection(self, wanted: Any) -> dict[str, Any]:
        if not self._runs:
            raise CaptureError("there is no reply to look into", remedy="Ask something first")
        now = self.selection if self.selection.get("run") in self._runs else first_look(self._runs)
        return checked(self._runs, wanted, now)

    def fit_selection(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return fitted(self.runs, other, self.selection)

    def answer(self, request: Any) -> dict[str, Any]:
        """ "talk": all that was said; "ask" {"text"}, "stop", "undo", "clear"; "turn" {"turn"}: look inside another;
        else what `RunView.answer` gives of the turn that is shown."""
        kind = request.get("kind") if isinstance(request, dict) else None
        if kind == "talk":
            return self._talk()
        if kind == "ask":
            self.ask(request.get("text"))
        elif kind in ("stop", "undo", "clear"):
            getattr(self, kind)()
        elif kind == "turn":
            self.turn = request.get("turn") if isinstance(request.get("turn"), int) else -2
        elif isinstance(request, dict) and kind != "script":
            return answered(self._runs, self._found, request)
        else:
            return super().answer(request)
        return {}

    def _talk(self) -> dict[str, Any]:
        turns = [
            {
                "question": turn.question,
                "replies": [
                    one and {"text": one.text, "footer": one.footer, "kept": one.inspection is not None}
                    for one in turn.replies
                ],
            }
            for turn in self._turns
        ]  # fmt: skip
        live = None
        if writings := list(self._writings):
            live = {"question": self._question, "parts": [one.part(whole=True) for one in writings]}
        return {"system": self._turns.system, "turns": turns, "live": live}

    def static(self) -> str:
        """The conversation as text; token text is escaped."""
        said = "".join(
            f"<p><b>{html.escape(one.get('model', one['role']))}</b> {html.escape(one['content'])}</p>"
            for one in self.messages
        )
        return f"<p>{html.escape(repr(self))}</p>{said}"

    def __repr__(self) -> str:
        return f"Chat with {' and '.join(self.names)}: {len(self._turns)} questions answered. {WITHOUT}"
