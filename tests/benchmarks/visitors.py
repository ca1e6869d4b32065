"""Tabs of the page, as load.py opens them: the requests that the page's own scripts make."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import httpx
from gradio_client.utils import apply_diff
from met import NEW_TOKENS, QUESTIONS, Asked, Json, Site, Tally


class Tab:
    """One open tab, from one address."""

    def __init__(self, site: Site, tally: Tally, client: httpx.AsyncClient, dice: random.Random) -> None:
        self.site, self.tally, self.client, self.dice = site, tally, client, dice
        self.key, self.hash = secrets.token_urlsafe(24), secrets.token_hex(6)
        self.columns: list[Json] = site.first
        self.left = asyncio.Event()

    async def live(self, over: Callable[[], bool]) -> None:
        """Open the page, ask one to three times, click meanwhile, and leave."""
        self.tally.did["tabs opened"] += 1
        (await self.client.get(f"{self.site.address}/")).raise_for_status()
        beat = asyncio.create_task(self._beat())
        clicking = asyncio.create_task(self._clicking())
        try:
            for _ in range(self.dice.randint(1, 3)):
                if over() or not await self._turn():
                    break
        finally:
            self.left.set()
            await clicking
            beat.cancel()  # closes the connection, as a closed tab does
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self) -> None:
        async with self.client.stream("GET", f"{self.site.address}/gradio_api/heartbeat/{self.hash}") as stream:
            async for _ in stream.aiter_lines():
                pass

    def _settings(self) -> Json:
        drawn = self.dice.random() < 0.5
        return {
            "max_new_tokens": NEW_TOKENS, "temperature": 0.7 if drawn else 0.0, "top_p": 0.9 if drawn else 1.0,
            "seed": self.dice.randint(0, 3) if drawn else 0,
        }  # fmt: skip

    async def _turn(self) -> bool:
        """Ask once; whether the tab is still open after it."""
        sampling, end = self._settings(), self.dice.random()
        leaving, stopping = end < 0.1, 0.1 <= end < 0.25
        values = [self.key, self.dice.choice(QUESTIONS), NEW_TOKENS, sampling["temperature"], sampling["top_p"], 0, 1,
                  sampling["seed"]]  # fmt: skip
        join = {"data": values, "event_data": None, "fn_index": self.site.events["ask"],
                "trigger_id": self.site.parts["wb-send"], "session_hash": self.hash}  # fmt: skip
        (await self.client.post(f"{self.site.address}/gradio_api/queue/join", json=join)).raise_for_status()
        entered = stopped = refused = False
        state: Json = {}
        async for message in self._stream():
            kind = message["msg"]
            if kind == "log":
                self.tally.refusal(message["log"])
                refused = True
            elif kind == "unexpected_error" or message.get("success") is False:
                self.tally.errors.append(f"the stream said {json.dumps(message)[:300]}")
            elif kind == "state" and not refused:
                state = message["state"]
                self.tally.turns += not entered
                entered = True
                for column in state["columns"].values():
                    if place := re.match(r"(\d+)\w\w in line|(Next) in line", column["note"]):
                        self.tally.places.append(int(place[1] or 1))
                written = all(_written(column) for column in state["columns"].values())
                if written and leaving:
                    self._enter(state, sampling, whole=False)
                    self.tally.did["left in the middle"] += 1
                    return False
                if written and stopping and not stopped:
                    stopped = True
                    self.tally.did["stopped"] += 1
                    await self._event("stop", [self.key])
        if entered:
            self._enter(state, sampling, whole=not stopped)
            self.columns = list(state["columns"].values())
            await self._event("idle_0", [self.key, *values[2:]])
            await self._open()
        await asyncio.sleep(self.dice.uniform(0.5, 2))
        return True

    def _enter(self, state: Json, sampling: Json, whole: bool) -> None:
        for column in state["columns"].values():
            said = [{"role": one["role"], "content": one["text"]} for one in column["messages"]]
            if said and said[-1]["role"] == "assistant":
                said.pop()
            if column["note"] and not _written(column) and whole:
                self.tally.errors.append(f"no reply came: {column['note'][:300]}")
            self.tally.asked.append(Asked("page", column["model"], said, sampling, _ids(column), whole))

    async def _stream(self) -> AsyncIterator[Json]:
        """The messages of the page's event stream; updates of the chat as {"msg": "state", "state"}."""
        asked = self.client.stream("GET", f"{self.site.address}/gradio_api/queue/data?session_hash={self.hash}")
        held: list[Any] = []
        async with asked as stream:
            stream.raise_for_status()
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message["msg"] == "close_stream":
                    return
                if message["msg"] == "process_generating" and message["success"]:
                    found = message["output"]["data"]
                    held = [apply_diff(old, new) for old, new in zip(held, found, strict=True)] if held else found
                    if isinstance(held[0], dict) and "columns" in (held[0].get("value") or held[0]):
                        yield {"msg": "state", "state": held[0].get("value") or held[0]}
                else:
                    yield message

    async def _event(self, name: str, values: list[Any]) -> None:
        """An event that does not stand in line."""
        body = {"data": values, "event_data": None, "fn_index": self.site.events[name], "session_hash": self.hash}
        found = await self.client.post(f"{self.site.address}/gradio_api/run/predict", json=body)
        if found.status_code != 200:
            self.tally.errors.append(f"{name}: {found.status_code} {found.text[:300]}")

    async def _ask(self, name: str, request: Json, part: str = "wb-inspector") -> None:
        """What a script of the page asks of the server."""
        body = {"data": {"tab": self.key, **request}, "component_id": self.site.parts[part], "fn_name": name,
                "session_hash": self.hash}  # fmt: skip
        found = await self.client.post(f"{self.site.address}/gradio_api/component_server/", json=body)
        self.tally.calls += 1
        if found.status_code != 200 or found.content.startswith(b'{"error"'):
            self.tally.errors.append(f"{request}: {found.status_code} {found.text[:300]}")

    async def _open(self) -> None:
        """What the page asks for when a reply has come."""
        began = time.perf_counter()
        runs = [column["run"] for column in self.columns if column["run"]]
        if len(runs) == 2:
            await self._ask("difference", {"run": runs[0], "other": runs[1], "part": "aligned"})
        for run in runs[:1]:
            await self._ask("answer", {"run": run, "kind": "open"})
            self.tally.opened.append(time.perf_counter() - began)

    async def _clicking(self) -> None:
        """A click on a token, or another layer, every second or two."""
        while not await _soon(self.left, self.dice.uniform(0.5, 2.5)):
            shown = [column for column in self.columns if column["run"] and column["strip"]]
            if not shown:
                continue
            column = self.dice.choice(shown)
            run, ids = column["run"], len(_lines(column))
            row = {"run": run, "kind": "row", "token": self.dice.randrange(1, ids), "layer": self.dice.randrange(2)}
            ways: list[list[Json]] = [[row], [row | {"kind": "next"}], [row | {"kind": "lens"}],
                                      [row, {"run": run, "kind": "layer", "layer": row["layer"]}]]  # fmt: skip
            began = time.perf_counter()
            await asyncio.gather(*(self._ask("answer", one) for one in self.dice.choice(ways)))
            self.tally.clicks.append(time.perf_counter() - began)


async def _soon(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` is set within ``seconds``."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _lines(column: Json) -> list[list[Any]]:
    strip = column["strip"]
    return [json.loads(line) for line in "".join(strip["blocks"]).split("\n") if line] if strip else []


def _ids(column: Json) -> list[int]:
    """Of the tokens that were written."""
    lines = _lines(column)
    return [line[1] for line in lines[column["strip"]["prompt_length"] :]] if lines else []


def _written(column: Json) -> bool:
    """Whether the model has begun to write, and what stood in the column before is no longer shown."""
    last = column["messages"][-1] if column["messages"] else {"role": ""}
    return bool(last["role"] == "assistant" and last["text"])
