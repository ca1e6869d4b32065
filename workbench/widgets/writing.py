"""A reply under way: a worker thread that lets a model write and tells of it, a few times a second."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.capture.request import Capture
from workbench.chat.conversation import Conversation
from workbench.errors import WorkbenchError
from workbench.views.arrays import number

if TYPE_CHECKING:
    from workbench.chat.encoding import EncodedPrompt
    from workbench.generation.decoding import Step
    from workbench.generation.prefix import PrefixStore
    from workbench.generation.sampling import Sampling
    from workbench.inspection.run import Run
    from workbench.model import Model

TICK = 0.08
"""Seconds between two updates of a page, of all models together: at most 12 a second."""
MOST_LIVE = 8192
"""Tokens of a prompt that is shown while the reply is written; a longer one shows when the reply is there."""
MOST_BYTES = 2**28
"""Of one reply's results, where no capture was asked for."""
LENS_WORK_CPU, LENS_WORK_GPU = 6e10, 1e13
"""Floating-point operations that reading out the lens of all positions may take: about a second."""
OURS = "Something failed inside the workbench; the kernel's log has the details. You can ask again."

Row = list[Any]
"""Of one token: piece, id, role, log-probability in nats, rank, entropy in nats, alternatives; None where nothing is
known. The order is that of `livestrip.js`."""


@dataclass(frozen=True)
class Settings:
    """How the models write: ``capture`` None records what a click can ask for, as far as it fits."""

    sampling: Sampling
    capture: Capture | None = None
    cache: str | None = None
    store: PrefixStore | None = None


@dataclass
class Writing:
    """One model's reply as far as it is: told in parts, and whole to a page that opens meanwhile."""

    side: int
    model: Model
    said: Conversation
    settings: Settings
    prompt_length: int = 0
    rows: list[Row] = field(default_factory=list)
    text: str = ""
    run: Run | None = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    told: int = 0
    told_text: int = 0

    def part(self, whole: bool = False) -> dict[str, Any]:
        """What has been written since the last part, or all of it: {"side", "prompt_length", "first", "rows", "at",
        "text"}; rows from token ``first`` on, text from character ``at`` on."""
        rows, text = list(self.rows), self.text
        first, at = (0, 0) if whole else (self.told, self.told_text)
        if not whole:
            self.told, self.told_text = len(rows), len(text)
        return {
            "side": self.side, "prompt_length": self.prompt_length, "first": first, "rows": rows[first:], "at": at,
            "text": text[at:],
        }  # fmt: skip

    def write(self, tell: Callable[[Writing], None], pause: float) -> None:
        """Let the model write to its end; ``tell`` is called at most once in ``pause`` seconds, and at the end. What
        goes wrong is a sentence in ``error``."""
        try:
            prompt = self.model.encode(self.said)
            if len(prompt) <= MOST_LIVE:
                self.prompt_length, self.rows = len(prompt), _asked(prompt)
            tell(self)
            settings, last = self.settings, time.monotonic()
            capture = settings.capture or capture_for(self.model, len(prompt), settings)
            more: dict[str, Any] = {"cache": settings.cache} if settings.cache else {"reuse": settings.store}
            self.run = self.model.generate(prompt, settings.sampling, capture, self.stop, **more)
            for step in self.run:
                self.text += step.text
                if self.rows:
                    self.rows.append(_written(step))
                if time.monotonic() - last >= pause:
                    last = time.monotonic()
                    tell(self)
            self.run.inspection  # noqa: B018  assembled here, not while a page waits
        except WorkbenchError as error:
            self.error = str(error)
        except Exception:
            logging.getLogger("workbench").exception("A reply was broken off")
            self.error = OURS


def start(
    writings: Sequence[Writing], tell: Callable[[Writing], None], over: Callable[[], None]
) -> list[threading.Thread]:
    """A worker for each of ``writings``; the last one to end calls ``over``."""
    left, lock = [len(writings)], threading.Lock()

    def work(one: Writing) -> None:
        try:
            one.write(tell, TICK * len(writings))
        finally:
            with lock:
                left[0] -= 1
                last = not left[0]
            if last:
                over()

    workers = [threading.Thread(target=work, args=(one,), name="workbench chat", daemon=True) for one in writings]
    for one, worker in zip(writings, workers, strict=True):
        _under_way[worker] = one
        worker.start()
    return workers


_under_way: weakref.WeakKeyDictionary[threading.Thread, Writing] = weakref.WeakKeyDictionary()


@atexit.register
def _leave() -> None:
    """A program that ends while a model writes ends it first: a thread cannot be cut off inside torch."""
    for worker, one in list(_under_way.items()):
        one.stop.set()
        worker.join(10)


def capture_for(model: Model, tokens: int, settings: Settings) -> Capture:
    """Everything a click can ask for, as far as time and memory allow: without the states of attention under a cache
    policy, with the lens of generated tokens only where reading out all would take long."""
    full = Capture.full()
    attention, lens = full.attention, full.lens
    if settings.cache:
        attention = Capture().attention
    work = 2 * (model.layers + 1) * model.hidden * model.vocab_size * (tokens + settings.sampling.max_new_tokens)
    if work > (LENS_WORK_GPU if model.device.type == "cuda" else LENS_WORK_CPU):
        lens = Capture().lens
    return Capture(attention, lens).nearest_that_fits(model, tokens, settings.sampling.max_new_tokens, MOST_BYTES)


def _asked(prompt: EncodedPrompt) -> list[Row]:
    tokens = zip(prompt.tokens, prompt.ids, prompt.roles, strict=True)
    return [[piece, token, role, None, None, None, None] for piece, token, role in tokens]


def _written(step: Step) -> Row:
    best = [[piece, number(logprob), token] for token, piece, logprob in step.top]
    return [step.piece, step.token_id, "assistant", number(step.logprob), step.rank, number(step.entropy), best]
