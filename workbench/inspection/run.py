"""A generation under way: iterate it for its steps; when it ends, it holds the inspection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from inspect import GEN_CLOSED, GEN_RUNNING, GEN_SUSPENDED, getgeneratorstate

from workbench.capture.recording import Recording
from workbench.capture.request import Capture
from workbench.chat.encoding import EncodedPrompt
from workbench.errors import WorkbenchError
from workbench.generation.caching import Caching
from workbench.generation.decoding import Decoding, Step
from workbench.generation.prefill import Progress
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.inspection.assembly import assemble
from workbench.inspection.inspection import Inspection
from workbench.inspection.provenance import as_settings
from workbench.models.loading import LoadedModel


class Run:
    """``for step in run: ...`` streams `Step`s; afterwards, or after Stop, ``run.inspection`` is there."""

    def __init__(
        self, model: LoadedModel, prompt: EncodedPrompt, sampling: Sampling, capture: Capture,
        stop: threading.Event | None = None, progress: Progress | None = None, begin: tuple[int, ...] = (),
        reuse: PrefixStore | None = None, caching: Caching | None = None,
    ) -> None:  # fmt: skip
        if caching is not None:
            caching.check(capture)
            reuse = None
        total = len(prompt.ids) + sampling.max_new_tokens
        self._recording = Recording(
            capture, model.module, len(prompt.ids), total, model, grows=reuse is not None
        )  # fmt: skip
        self._decoding = Decoding(
            model.module, model.tokenizer, list(prompt.ids), sampling, self._recording, stop,
            continues=prompt.roles[-1] == "text", progress=progress, begin=begin, store=reuse,
            caching=caching,
        )  # fmt: skip
        self.cache = "" if caching is None else str(caching)
        """The cache policy, as it is said; "" for the model's own cache."""
        self._model, self._capture = model, capture
        self.prompt, self.sampling, self.stop = prompt, sampling, self._decoding.stop
        self.steps: list[Step] = []
        self._iterator = self._decoding.steps()
        self._inspection: Inspection | None = None
        self._failure: str | None = None
        self._kept = False
        self._watchers: list[Callable[[Step | None], object]] = []

    def watch(self, watcher: Callable[[Step | None], object]) -> None:
        """Call ``watcher(step)`` after every step, in the thread that iterates, and ``watcher(None)`` once, when it
        is over or broken off. What it raises ends the loop."""
        self._watchers.append(watcher)

    def _tell(self, step: Step | None) -> None:
        told = self._watchers
        if step is None:
            self._watchers = []
        for watcher in told:
            watcher(step)

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            step = next(self._iterator)
        except StopIteration:
            self._keep()
            self._tell(None)
            raise
        except BaseException as error:
            if getgeneratorstate(self._iterator) == GEN_CLOSED:
                self._failure = type(error).__name__  # the error itself would keep the forward's tensors
                self._tell(None)
            raise
        self.steps.append(step)
        self._tell(step)
        return step

    @property
    def text(self) -> str:
        """The reply so far."""
        return self._decoding.text

    @property
    def finish_reason(self) -> str | None:
        """ "eos", "length", "stopped" or "stop string"; None while it runs."""
        return self._decoding.finish_reason

    @property
    def tokens_per_second(self) -> float:
        """New tokens a second of decoding so far. Given ones are read, not decoded; without any, the first new one
        comes with the prefill and is not counted either, so 0 before the second."""
        seconds, given = self._decoding.seconds["decode"], len(self._decoding.begin)
        decoded = len(self.steps) - max(1, given)
        return decoded / seconds if seconds > 0 and decoded > 0 else 0.0

    def close(self) -> None:
        """Stop here: what was generated stays inspectable. A step another thread is waiting for is the last. Given
        tokens that were read together with the last step's join ``steps``: the cache holds them."""
        if getgeneratorstate(self._iterator) == GEN_RUNNING:
            self.stop.set()
            return
        for _ in range(self._decoding.ahead if getgeneratorstate(self._iterator) == GEN_SUSPENDED else 0):
            next(self)
        self._iterator.close()
        if self._decoding.finish_reason is None:
            self._decoding.finish_reason = "stopped"
        self._keep()
        self._tell(None)

    def _keep(self) -> None:
        """Keep the cache for the next turn, once, and before the recording is finished."""
        if not self._kept and self._failure is None and self._inspection is None:
            self._decoding.keep()
        self._kept = True

    @property
    def reused_tokens(self) -> int:
        """How many tokens of the prompt came from a kept cache and were not read again."""
        return self._decoding.reused

    @property
    def inspection(self) -> Inspection:
        """The result; WorkbenchError while the run is still going on, and when an error ended it: what was captured
        then breaks off in the middle of a forward. ``steps`` and ``text`` still hold the reply so far."""
        if self._inspection is None:
            if self._failure is not None:
                raise WorkbenchError(
                    f"The run was broken off by {self._failure}", expected="a run that ended", remedy="Run it again"
                )
            if self._decoding.finish_reason is None:
                raise WorkbenchError(
                    "The run is not over",
                    expected="an iterated or closed run",
                    remedy="Finish the loop or call close()",
                )
            self._inspection = self._assemble()
        return self._inspection

    def _assemble(self) -> Inspection:
        decoding = self._decoding
        last = self.steps[-1].token_id if self.steps else None
        captured = self._recording.finish(decoding.cache, last)
        self._keep()  # a loop that was left at the last step
        settings = {"sampling": as_settings(self.sampling), "given": sum(step.given for step in self.steps)}
        settings["reused_tokens"] = self.reused_tokens
        if self.cache:
            settings["cache"] = self.cache
        return assemble(
            self._model, self.prompt, self.steps, captured, self._capture, settings,
            decoding.seconds | {"tokens_per_second": self.tokens_per_second}, decoding.finish_reason,
        )  # fmt: skip
