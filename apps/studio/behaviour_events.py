"""Behaviour: a suite of prompts through the shelf's models, as a job whose answers stay and are gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import workbench as wb
from apps.studio.jobs import Told
from apps.studio.lengths import check_lengths
from apps.studio.studio import Studio
from workbench.behaviour.suite import SHIPPED, parse_suite
from workbench.errors import FileFormatError, SamplingError, WorkbenchError

MOST_CHARACTERS = 1_000_000
"""Of an uploaded suite."""
MOST_ITEMS = 200
"""That a visitor may have answered at once."""
MOST_TOKENS = 512
"""Of an answer."""
MOST_FOLDERS = 64
"""Of answers, of all visitors together; those asked for longest ago go first."""
OWN = 4
"""Of them of one visitor."""


class BehaviourEvents:
    """Answers lie in a temporary folder, one for each visitor, suite and settings, so that the same run goes on."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._base: tempfile.TemporaryDirectory[str] | None = None
        self._used: OrderedDict[tuple[str, str], Path] = OrderedDict()
        self._lock = threading.Lock()
        studio.forgetting.append(self._forget)

    @property
    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        return [self.behaviour_known, self.behaviour_start]

    def behaviour_known(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"models": [names], "suites": [{"name", "items"}], "most": {"items", "tokens", "characters"}}"""
        suites = [wb.read_suite(name) for name in SHIPPED]
        return {
            "models": list(self._studio.shelf.names),
            "suites": [{"name": one.name, "items": len(one)} for one in suites],
            "most": {"items": MOST_ITEMS, "tokens": MOST_TOKENS, "characters": MOST_CHARACTERS},
        }

    def behaviour_start(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"job"} for {"suite": a shipped name, or "" with "text": JSONL and "name", "limit", "tokens", "temperature",
        "seed", "safe_prompt"}. What the same visitor ran before with the same suite and settings is not done again."""
        suite = suite_of(request)
        limit = _whole(request, "limit", 1, MOST_ITEMS)
        sampling = wb.Sampling(
            max_new_tokens=_whole(request, "tokens", 1, MOST_TOKENS), temperature=_number(request, "temperature"),
            seed=_whole(request, "seed", 0, 2**53),
        )  # fmt: skip
        safe_prompt = request.get("safe_prompt") is True
        self._studio.admission.check_reply(sampling.max_new_tokens)
        key = self._asked(str(request.get("tab", "")), suite, sampling, safe_prompt)
        names, chosen = self._studio.shelf.names, [item.id for item in suite.items[:limit]]

        def work(stop: threading.Event) -> Generator[Told, None, Any]:
            yield {"share": 0.0, "said": f"loading {' and '.join(names)}"}
            folder = self._folder(key)
            models = [self._studio.shelf.get(name) for name in names]
            asked = ["\n".join((item.system, *item.turns)) for item in suite.items[:limit]]
            check_lengths(self._studio.admission, models, asked, "workbench suite run")
            partial: dict[str, Any] | None = None
            for step in wb.run_suite(
                models, suite, folder, sampling=sampling, stop=stop, items=chosen, safe_prompt=safe_prompt
            ):
                if partial is None or step.kept:
                    partial = shown(folder, chosen)
                left = "" if step.seconds_left is None else f", about {_left(step.seconds_left)} left"
                said = f"{step.done} of {step.of} answers{left}; {step.model}: {step.item[:40]}, {step.tokens} tokens"
                yield {"share": step.share, "said": said, "partial": partial if step.done else None}
            return shown(folder, chosen)

        return {"job": self._studio.jobs.start(str(request.get("tab", "")), work, "workbench suite run")}

    def _asked(self, tab: str, suite: wb.Suite, sampling: wb.Sampling, safe_prompt: bool) -> tuple[str, str]:
        """The key of a visitor's folder for a suite and settings, noted as the last one asked for."""
        settings = hashlib.sha256(f"{suite.sha256}/{sampling!r}/{safe_prompt}".encode()).hexdigest()[:16]
        key = (hashlib.sha256(tab.encode()).hexdigest()[:32], settings)
        with self._lock:
            if key in self._used:
                self._used.move_to_end(key)
        return key

    def _folder(self, key: tuple[str, str]) -> Path:
        """The folder of ``key``; of the others, those asked for longest ago are deleted beyond the bounds. Called when
        a job begins, not when it is asked for: jobs run one at a time, so none of the others is being written."""
        with self._lock:
            if self._base is None:
                self._base = tempfile.TemporaryDirectory(prefix="workbench-behaviour-")
            mine = self._used.setdefault(key, Path(self._base.name) / key[0] / key[1])
            others = [one for one in self._used if one != key]
            own = [one for one in others if one[0] == key[0]]
            old = {*own[: max(0, len(own) - OWN + 1)], *others[: max(0, len(others) - MOST_FOLDERS + 1)]}
            for one in old:
                shutil.rmtree(self._used.pop(one), ignore_errors=True)
            return mine

    def _forget(self, tab: str) -> None:
        """Delete the answers of a visitor who has gone."""
        visitor = hashlib.sha256(tab.encode()).hexdigest()[:32]
        with self._lock:
            for key in [key for key in self._used if key[0] == visitor]:
                shutil.rmtree(self._used.pop(key), ignore_errors=True)

    def folder_of(self, tab: str, run: Any) -> Path:
        """The visitor's answers of ``run`` (in what `shown` says). Raises WorkbenchError where they are gone."""
        key = (hashlib.sha256(tab.encode()).hexdigest()[:32], run if isinstance(run, str) else "")
        with self._lock:
            if (found := self._used.get(key)) is None:
                raise WorkbenchError("These answers are no longer kept here", remedy="Run the suite again")
            self._used.move_to_end(key)
            return found


def suite_of(request: dict[str, Any]) -> wb.Suite:
    """The suite that a request names or brings. Raises FileFormatError."""
    name, text = request.get("suite"), request.get("text")
    if isinstance(name, str) and name in SHIPPED:
        return wb.read_suite(name)
    if not isinstance(text, str) or not text.strip():
        raise FileFormatError("No suite was chosen", remedy="Choose one of the list, or a JSONL file")
    if len(text) > MOST_CHARACTERS:
        raise FileFormatError(f"The file has {len(text):,} characters", expected=f"at most {MOST_CHARACTERS:,} here",
                              remedy="Use workbench suite run for more")  # fmt: skip
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FileFormatError("The file holds half of a character (a lone surrogate)", remedy="Save it again") from None
    return parse_suite(text.removeprefix("\ufeff"), str(request.get("name") or "suite")[:80])


def shown(folder: Path, chosen: list[str]) -> dict[str, Any]:
    """What the page draws: the answers to the ``chosen`` items side by side, scores over them, the difference, a
    sentence."""
    found = wb.Answers.read(folder)
    found = wb.Answers(found.suite, found.models, tuple(row for row in found.rows if row["item"] in set(chosen)),
                       found.provenance)  # fmt: skip
    scores = found.scores().reset_index()
    pair = found.difference()._asdict() if len(found.models) == 2 else None
    return {
        "suite": found.suite.name, "models": list(found.models), "of": len(chosen), "rows": found.side_by_side(),
        "scores": json.loads(scores[scores["n"] > 0].to_json(orient="records")), "sentence": found.sentence,
        "run": folder.name, "difference": pair if pair and pair["n"] else None, "safe_prompt": found.safe_prompt,
        "provenance": found.provenance,
    }  # fmt: skip


def _whole(request: dict[str, Any], key: str, low: int, high: int) -> int:
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WorkbenchError(f"{key} is {str(value)[:20]}", expected=f"a whole number from {low} to {high}")
    return value


def _number(request: dict[str, Any], key: str) -> float:
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise SamplingError(f"{key} is {str(value)[:20]}", expected="a number")
    return float(value)


def _left(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
