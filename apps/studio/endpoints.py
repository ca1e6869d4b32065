"""The documented endpoints for gradio_client: /generate, /inspect_tokens, /compare. All others are the page's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

import gradio as gr
from gradio.context import LocalContext

import workbench as wb
from apps.server.admission import Admission, Turn, Visitor
from apps.server.door import address
from apps.server.faults import Faults
from apps.studio.score_body import MOST_NEW_TOKENS
from apps.studio.shelf import Shelf, title
from workbench.chat.guardrails import with_safe_prompt
from workbench.errors import ComparisonError, SamplingError, UnknownModelError, WorkbenchError
from workbench.views.tokens import pack

MOST_CHARACTERS = 200_000
GONE = "Nobody waits for this answer any longer."
PAUSE = 1.0
"""Seconds between two looks of a request that waits at whether its client still does."""


def add_endpoints(shelf: Shelf, admission: Admission) -> None:
    """Offer them; inside `gr.Blocks`. Each takes its turn on the models with the page's own events."""

    def generate(
        messages: list, model: str = "", max_new_tokens: int = 64, temperature: float = 0.0, top_p: float = 1.0,
        seed: int = 0, safe_prompt: bool = False,
    ) -> dict:  # fmt: skip
        """The reply of a model to messages [{"role", "content"}]: {"model", "reply", "tokens", "finish", "seed",
        "safe_prompt"}. model: a name of the page, the last one by default. temperature 0 is greedy."""
        said = with_safe_prompt(_checked(messages), safe_prompt)
        sampling = _sampling(max_new_tokens, temperature, top_p, seed)
        admission.check_reply(sampling.max_new_tokens)
        with _turn(admission) as turn:
            until = Until(turn, admission)
            chosen = _fitting(admission, _named(shelf, model), said)
            run = chosen.generate(said, sampling, wb.Capture.nothing())
            for _ in run:
                admission.metrics.wrote(1)
                if until.is_set():
                    raise WorkbenchError(until.late)
        return {
            "model": chosen.name, "reply": run.text, "tokens": len(run.steps), "finish": run.finish_reason,
            "seed": run.sampling.seed, "safe_prompt": safe_prompt,
        }  # fmt: skip

    def inspect_tokens(messages: list, model: str = "") -> dict:
        """The tokens of messages as a model reads them, lists by position: {"model", "tokens", "ids", "roles",
        "logprob", "rank", "entropy"}; nats, of each token given those before it; None for the first."""
        capture = wb.Capture(attention=None, lens=wb.LensCapture(positions="all"), kv_cache=False)
        said = _checked(messages)
        with _turn(admission):
            found = pack(_fitting(admission, _named(shelf, model), said).inspect(said, capture))
        return {name: found[name] for name in ("model", "tokens", "ids", "roles", "logprob", "rank", "entropy")}

    def compare(messages: list, max_new_tokens: int = 64) -> dict:
        """Greedy replies of both models of the page and where they part: {"models", "replies", "parting" (a sentence),
        "table" (a row an aligned token, with KL in nats at the places that choose the reply)}."""
        if len(shelf.names) < 2:
            raise ComparisonError("This page has one model", expected="two", remedy="Serve it with two models")
        said, capture = _checked(messages), wb.Capture.nothing()
        sampling = _sampling(max_new_tokens, 0.0, 1.0, 0)
        admission.check_reply(sampling.max_new_tokens)
        with _turn(admission) as turn:
            until = Until(turn, admission)
            a, b = (_fitting(admission, shelf.get(name), said) for name in shelf.names)
            found = wb.compare(a, b, said, sampling=sampling, capture=capture, stop=cast(threading.Event, until))
            if until.late:
                raise WorkbenchError(until.late)
            admission.metrics.wrote(sum(len(one.ids) - one.prompt_length for one in (found.a, found.b)))
        rows = json.loads(found.table.to_json(orient="records"))
        return {
            "models": [a.name, b.name], "replies": [found.a.reply, found.b.reply],
            "parting": found.parting.sentence, "table": rows,
        }  # fmt: skip

    for function in (generate, inspect_tokens, compare):
        gr.api(
            _in_words(function, admission.faults),
            api_name=function.__name__,
            concurrency_id="model",
            concurrency_limit=None,
        )


class Until:
    """Asked like a threading.Event: set once ``turn`` takes longer than it may, or its client has gone; ``late`` says
    which, "" before."""

    def __init__(self, turn: Turn, admission: Admission) -> None:
        self._turn, self._metrics, self._heard = turn, admission.metrics, listening()
        self.late = ""

    def is_set(self) -> bool:
        if not self.late and (overdue := self._turn.overdue):
            self._metrics.refused("seconds")
            self.late = overdue
        elif not self.late and not self._heard():
            self.late = GONE
        return bool(self.late)


def caller(client: str) -> Visitor:
    """Who calls from outside a page: all calls of one address are one visitor's."""
    return Visitor(f"api {client}", client)


@contextmanager
def _turn(admission: Admission) -> Iterator[Turn]:
    """The turn of a request that comes from outside a page, when it has come; left at the end."""
    request = LocalContext.request.get(None)
    host = request.client.host if request is not None and request.client else ""
    client = address(host, request.headers if request is not None else {}, admission.settings.proxies)
    with admission.turn(caller(client)) as turn:
        heard = listening()
        while not turn.wait(PAUSE):
            if not heard():
                raise WorkbenchError(GONE)
        yield turn


def listening() -> Callable[[], bool]:
    """Whether the client of the request being answered still waits for it, as far as Gradio knows."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event is None:
        return lambda: True
    jobs = blocks._queue.active_jobs
    return lambda: not any(one._id == event and not one.alive for batch in list(jobs) for one in batch or ())


def _fitting(admission: Admission, model: wb.Model, said: list[Any]) -> wb.Model:
    """``model``, when it may read ``said`` here. Raises RefusedError."""
    admission.check_prompt(len(model.encode(said)))
    return model


def _in_words(function: Callable[..., dict[str, Any]], faults: Faults) -> Callable[..., dict[str, Any]]:
    """``function``, whose errors reach the client as a sentence. Its signature is what Gradio reads."""

    @wraps(function)
    def called(*values: Any, **named: Any) -> dict[str, Any]:
        try:
            return function(*values, **named)
        except Exception as error:
            raise gr.Error(faults.told(error), print_exception=False) from None

    return called


def _checked(messages: Any) -> list[Any]:
    """Messages, or a sentence; one text is one question."""
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    made = wb.Conversation.of(said if isinstance(said, list) else [said])
    if not len(made) or sum(len(one.content) for one in made) > MOST_CHARACTERS:
        raise WorkbenchError("The messages are none or too long", expected=f"1 to {MOST_CHARACTERS} characters")
    return list(made)


def _named(shelf: Shelf, asked: Any) -> wb.Model:
    asked = "" if asked is None else str(asked)  # nothing checks what a client sends
    for name in shelf.names if asked else shelf.names[-1:]:
        if asked in ("", name, title(name), title(name).removeprefix("twin-")):
            return shelf.get(name)
    known = " or ".join(title(name) for name in shelf.names)
    raise UnknownModelError(f"There is no model {asked[:60]!r} on this page", expected=known)


def _sampling(new: int, temperature: float, top_p: float, seed: int) -> wb.Sampling:
    if isinstance(new, int) and new > MOST_NEW_TOKENS:
        raise SamplingError(f"max_new_tokens is {new}", expected=f"at most {MOST_NEW_TOKENS}")
    return wb.Sampling(max_new_tokens=new, temperature=temperature, top_p=top_p, seed=seed)
