"""Calls in threads of their own: all at once, one beside this one, and waiting for what they do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WAIT = 60.0
"""Seconds after which what should have happened is a failure."""


def until(true: Callable[[], Any]) -> None:
    over = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < over, "it never came"
        time.sleep(0.005)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls give, each in a thread of its own, all begun together; a fault of one is raised."""
    start, found = threading.Barrier(len(calls)), {}

    def run(place: int) -> None:
        start.wait(WAIT)
        try:
            given = calls[place]()
            found[place] = list(given) if isinstance(given, Iterator) else given
        except BaseException as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive(), "one hangs"
    for one in found.values():
        if isinstance(one, BaseException):
            raise one
    return [found[place] for place in range(len(calls))]


def beside(call: Callable[[], Any]) -> Callable[[], Any]:
    """Begin ``call`` in another thread, give it time to be done where nothing holds it; what it gave, or its fault."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(0.05)

    def given() -> Any:
        thread.join(WAIT)
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    return given


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, run in a thread of its own: a browser's test may have left its loop in this one."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, coroutine).result()
