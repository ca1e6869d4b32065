"""POST /score: replies in the form of the cloud card, from the same models and by the same call as the page."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import workbench as wb
from apps.server.admission import REPLY, Admission
from apps.server.door import address
from apps.studio.endpoints import caller
from apps.studio.jobs import Jobs, Told
from apps.studio.score_body import MOST_BYTES, InputData, Wrong, read, wrong
from apps.studio.shelf import Shelf, title
from workbench.errors import WorkbenchError

PAUSE = 0.05
"""Seconds between two looks at a reply that is being written, and at whether its reader is still there."""
GONE = 499
"""Status of an answer that nobody reads."""


class Score:
    """The endpoint of one served app. Requests stand in line with those for a reply on the page."""

    def __init__(self, shelf: Shelf, jobs: Jobs) -> None:
        self.shelf, self.jobs = shelf, jobs

    @property
    def route(self) -> Route:
        return Route("/score", self.answer, methods=["POST"])

    async def answer(self, request: Request) -> Response:
        """200 with the replies; 413, 422 or 503 with {"detail": [{"loc", "msg", "type"}]}."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=GONE)
        if body is None:
            return _refused(413, wrong(f"The body is larger than {MOST_BYTES // 1024} KiB", kind="too_large"))
        found = await run_in_threadpool(read, body)
        if isinstance(found, list):
            return _refused(422, found)
        name = self._named(request.query_params.get("model"))
        if name is None:
            known = " or ".join(title(one) for one in self.shelf.names)
            return _refused(
                422, [{"loc": ["query", "model"], "msg": f"model: expected {known}.", "type": "value_error"}]
            )
        owner, admission = secrets.token_urlsafe(24), self.jobs.admission
        host = request.client.host if request.client else ""
        client = address(host, request.headers, admission.settings.proxies)
        try:
            admission.check_reply(found.parameters.max_new_tokens)
        except WorkbenchError as error:
            return _refused(422, wrong(str(error), "input_data", "parameters", "max_new_tokens"))
        try:
            work = partial(_replies, self.shelf, name, found, admission)
            job = self.jobs.start(owner, work, kind=REPLY, visitor=caller(client))
        except WorkbenchError as error:
            return _refused(503, wrong(str(error), kind="busy"))
        while (status := self.jobs.status(owner, job))["state"] in ("waiting", "running"):
            if await request.is_disconnected():
                self.jobs.halt(owner, job)
                return Response(status_code=GONE)
            await asyncio.sleep(PAUSE)
        if status.get("notice"):
            return _refused(503, wrong(status["notice"], kind="timeout"))
        if status["state"] != "done":
            return _refused(500, wrong(status["error"] or "The computation was stopped", kind="failed"))
        result = status["result"]
        return _refused(422, result["wrong"]) if "wrong" in result else JSONResponse(found.answer(result["replies"]))

    def _named(self, asked: str | None) -> str | None:
        """The model of the shelf that is asked for by name or short name; the last one, v0.2, by default."""
        if asked is None:
            return self.shelf.names[-1]
        fits = [name for name in self.shelf.names if asked in (name, title(name), title(name).removeprefix("twin-"))]
        return fits[0] if fits else None


def sampling_of(body: InputData) -> wb.Sampling:
    """The settings that the body's parameters stand for."""
    asked = body.parameters
    drawn = asked.do_sample and asked.temperature > 0
    return wb.Sampling(
        max_new_tokens=asked.max_new_tokens, temperature=asked.temperature if drawn else 0.0,
        top_p=asked.top_p if drawn else 1.0, seed=asked.seed,
    )  # fmt: skip


def _replies(
    shelf: Shelf, name: str, body: InputData, admission: Admission, stop: threading.Event
) -> Generator[Told, None, dict[str, list[str] | Wrong]]:  # fmt: skip
    """The work: {"replies": [...]}, or {"wrong": [...]} naming the conversation that cannot be answered."""
    try:
        model, sampling = shelf.get(name), sampling_of(body)
    except WorkbenchError as error:
        return {"wrong": wrong(str(error), "input_data", "parameters")}
    prompts, encoded = body.prompts, []
    for i, prompt in enumerate(prompts):
        at = ("input_data", "input_string", *(() if body.kind == "messages" else (i,)))
        if not isinstance(prompt, str) and prompt[-1]["role"] != "user":
            return {"wrong": wrong("the last message has to be the user's", *at, len(prompt) - 1, "role")}
        try:
            encoded.append(model.encode(prompt))
            admission.check_prompt(len(encoded[-1]))
            if len(encoded[-1]) + sampling.max_new_tokens > model.context:
                return {"wrong": wrong(_too_long(model, len(encoded[-1]), sampling.max_new_tokens), *at)}
        except WorkbenchError as error:
            return {"wrong": wrong(str(error), *at)}
    replies: list[str] = []
    for prompt in encoded:
        run = model.generate(prompt, sampling, wb.Capture.nothing(), stop)
        for _ in run:
            admission.metrics.wrote(1)
            yield {"share": len(replies) / len(encoded)}
        replies.append(prompt.text + run.text if body.parameters.return_full_text else run.text)
    return {"replies": replies}


def _too_long(model: wb.Model, prompt: int, new: int) -> str:
    return f"{prompt} tokens with max_new_tokens {new} are more than the {model.context} of {model.name}"


async def _body(request: Request) -> bytes | None:
    """The body; None as soon as it is too large."""
    text = bytearray()
    async for part in request.stream():
        text += part
        if len(text) > MOST_BYTES:
            return None
    return bytes(text)


def _refused(status: int, detail: Any) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers={"Retry-After": "10"} if status == 503 else None)
