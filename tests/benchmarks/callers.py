"""Programs that call the server, as load.py starts them: POST /score, and gr.api by gradio_client."""

from __future__ import annotations

import random
import re

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError
from met import NEW_TOKENS, PATIENCE, QUESTIONS, TOO_LONG, Asked, Json, Site, Tally


async def score(site: Site, tally: Tally, client: httpx.AsyncClient, dice: random.Random) -> None:
    """One call of POST /score; now and then one for a longer reply than is allowed."""
    model, said = dice.choice(site.models), [{"role": "user", "content": dice.choice(QUESTIONS)}]
    longer = dice.random() < 0.1
    body = {"input_data": {"input_string": said, "parameters": {
        "max_new_tokens": TOO_LONG if longer else NEW_TOKENS, "do_sample": False}}}  # fmt: skip
    found = await client.post(f"{site.address}/score", params={"model": model}, json=body)
    if found.status_code == 200:
        tally.turns += 1
        sampling = {"max_new_tokens": NEW_TOKENS, "temperature": 0.0}
        tally.asked.append(Asked("/score", model, said, sampling, found.json()[0]["0"]))
    elif found.status_code in (422, 503):
        tally.refusal(re.sub(r"^input_data[\w.]*: ", "", found.json()["detail"][0]["msg"]))
    else:
        tally.errors.append(f"/score: {found.status_code} {found.text[:300]}")


class Caller:
    """A program that uses gradio_client, in a thread of its own."""

    def __init__(self, site: Site, tally: Tally, address: str, dice: random.Random) -> None:
        self.site, self.tally, self.dice = site, tally, dice
        self.client = Client(site.address, headers={"X-Forwarded-For": address}, verbose=False, download_files=False)

    def call(self) -> None:
        """/generate, at times /inspect_tokens, /compare or two at once, of which one is refused."""
        said, model = [{"role": "user", "content": self.dice.choice(QUESTIONS)}], self.dice.choice(self.site.models)
        kind = self.dice.choices(["/generate", "/inspect_tokens", "/compare", "two"], [6, 2, 1, 1])[0]
        values = {
            "/inspect_tokens": {"messages": said, "model": model},
            "/compare": {"messages": said, "max_new_tokens": NEW_TOKENS},
        }.get(kind, {"messages": said, "model": model, "max_new_tokens": NEW_TOKENS})
        name = "/generate" if kind == "two" else kind
        for job in [self.client.submit(api_name=name, **values) for _ in range(2 if kind == "two" else 1)]:
            try:
                self._enter(name, model, said, job.result(timeout=PATIENCE))
            except AppError as error:
                self.tally.refusal(str(error))

    def _enter(self, name: str, model: str, said: list[Json], found: Json) -> None:
        self.tally.turns += 1
        if name == "/inspect_tokens":
            self.tally.asked.append(Asked("inspect", model, said, {"max_new_tokens": 1}, found["ids"]))
            return
        models, replies = (found["models"], found["replies"]) if name == "/compare" else ([model], [found["reply"]])
        for one, reply in zip(models, replies, strict=True):
            sampling = {"max_new_tokens": NEW_TOKENS, "temperature": 0.0}
            self.tally.asked.append(Asked("gr.api", one, said, sampling, reply))
