"""A generation under way: iterate it for its steps; when it ends, it holds the inspection."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from workbench.capture.recording import Recording
from workbench.capture.request import Capture
from workbench.chat.encoding import EncodedPrompt
from workbench.errors import WorkbenchError
from workbench.generation.decoding import Decoding, Step
from workbench.generation.sampling import Sampling
from workbench.inspection.assembly import assemble
from workbench.inspection.inspection import Inspection
from workbench.inspection.provenance import as_settings
from workbench.models.loading import LoadedModel


class Run:
    """``for step in run: ...`` streams `Step`s; afterwards, or after Stop, ``run.inspection`` is there."""

    def __init__(
        self, model: LoadedModel, prompt: EncodedPrompt, sampling: Sampling, capture: Capture,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        total = len(prompt.ids) + sampling.max_new_tokens
        self._recording = Recording(capture, model.module, len(prompt.ids), total)
        self._decoding = Decoding(
            model.module, model.tokenizer, list(prompt.ids), sampling, self._recording, stop,
            continues=prompt.roles[-1] == "text",
        )  # fmt: skip
        self._model, self._capture = model, capture
        self.prompt, self.sampling, self.stop = prompt, sampling, self._decoding.stop
        self.steps: list[Step] = []
        self._iterator = self._decoding.steps()
        self._inspection: Inspection | None = None
        self._over = False

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            step = next(self._iterator)
        except BaseException:
            self._over = True
            raise
        self.steps.append(step)
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
        """New tokens a second of decoding so far; 0 before the first."""
        seconds = self._decoding.seconds["decode"]
        return len(self.steps) / seconds if seconds > 0 else 0.0

    def close(self) -> None:
        """Stop here: what was generated stays inspectable."""
        self.stop.set()
        self._iterator.close()
        self._over = True
        if self._decoding.finish_reason is None:
            self._decoding.finish_reason = "stopped"

    @property
    def inspection(self) -> Inspection:
        """The result; WorkbenchError while the run is still going on."""
        if self._inspection is None:
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
        return assemble(
            self._model, self.prompt, self.steps, captured, self._capture, {"sampling": as_settings(self.sampling)},
            decoding.seconds | {"tokens_per_second": self.tokens_per_second}, decoding.finish_reason,
        )  # fmt: skip
