"""A visit in a process of its own, as ZeroGPU pays it: only what is pickled goes in and comes out."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from apps.studio.visit import Event, Request


def in_child(folders: Sequence[str], link: Connection) -> None:
    """Pay the visits that come through ``link``: a request's bytes in, each event's bytes out, then b""."""
    import workbench as wb
    from apps.studio.visit import visit

    models = {folder: wb.load(folder) for folder in folders}
    while asked := link.recv_bytes():
        for event in visit(models, pickle.loads(asked)):
            link.send_bytes(pickle.dumps(event))
        link.send_bytes(b"")


class Elsewhere:
    """A `Visiting` whose models live in a spawned process. ``bytes`` are those of each event of the last visit."""

    def __init__(self, folders: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._link, there = context.Pipe()
        self.process: Any = context.Process(target=in_child, args=(list(folders), there), daemon=True)
        self.process.start()
        there.close()
        self.bytes: list[int] = []

    def __call__(self, request: Request) -> Iterator[Event]:
        self.bytes = []
        self._link.send_bytes(pickle.dumps(request))
        while said := self._link.recv_bytes():
            self.bytes.append(len(said))
            yield pickle.loads(said)

    def close(self) -> None:
        self._link.send_bytes(b"")
        self.process.join(30)
        self.process.kill()
