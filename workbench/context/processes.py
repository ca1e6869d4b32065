"""One study by several processes that share a folder: `accelerate launch`, on one machine or many.

Each does its share and says in a file of its own how far it is; nobody waits in a barrier, so a process that is lost
holds up nobody. The first one waits for the signs of the others, and does what a silent one has left.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.context.store import written
from workbench.context.study import Progress, RetrievalStudy
from workbench.errors import FileFormatError, WorkbenchError

PATIENCE = 300.0
"""Seconds without a new sign after which a process counts as lost: more than the longest single trial takes."""
_LOOK = 0.5
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where torchrun, and the kinds of mpirun, say how many processes there are."""


@dataclass(frozen=True)
class Processes:
    """This process is number ``rank`` of ``count``; ``launch`` names what was started together."""

    rank: int = 0
    count: int = 1
    launch: str = ""

    @property
    def first(self) -> bool:
        return self.rank == 0


def here() -> Processes:
    """This process among those started together, as accelerate's PartialState has it (gloo on a CPU, NCCL on GPUs,
    where each process takes the GPU of its local rank). Call it before a model is loaded.

    Raises WorkbenchError where the others cannot be reached.
    """
    if all(int(os.environ.get(name) or 1) < 2 for name in _SIZES):
        return Processes()
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    try:
        state = PartialState(cpu=not torch.cuda.is_available())
        name = [secrets.token_hex(8)]
        broadcast_object_list(name)
    except (RuntimeError, ValueError, OSError) as error:
        raise WorkbenchError(
            f"The other processes cannot be reached ({str(error).splitlines()[0][:200]})",
            expected="all processes started together",
            remedy="Start them again with accelerate launch",
        ) from None
    return Processes(state.process_index, state.num_processes, name[0])


def together(
    made: Callable[[tuple[int, int]], RetrievalStudy], here: Processes, folder: Path, patience: float = PATIENCE
) -> Iterator[Progress]:
    """A `Progress` a trial of this process's share; ``made((i, n))`` is the study of the i-th of n shares.

    The first process goes on until all is there: it waits for the others, and what one of them leaves undone, having
    given no sign for ``patience`` seconds, it does itself.
    """
    own = made((here.rank, here.count))
    sign = _Sign(folder, here)
    sign.give(0, own.count, False)
    for told in own:
        sign.give(told.done, told.of, False)
        yield told
    if own.stop.is_set():
        return
    sign.give(own.count, own.count, True)
    if not here.first:
        return
    for rank in _lost(folder, here, patience, own):
        yield from made((rank, here.count))
    for rank in range(here.count):
        _path(folder, here, rank).unlink(missing_ok=True)


class _Sign:
    """The file in which a process says how far it is."""

    def __init__(self, folder: Path, here: Processes) -> None:
        self._path = _path(folder, here, here.rank)

    def give(self, done: int, of: int, finished: bool) -> None:
        try:
            written(self._path, json.dumps({"done": done, "of": of, "finished": finished}), over=True)
        except OSError as error:
            raise FileFormatError(
                f"{self._path.parent} cannot be written ({error.strerror})",
                remedy="Make room and run the same again: finished trials are kept",
            ) from None


def _path(folder: Path, here: Processes, rank: int) -> Path:
    return folder / f"sign-{here.launch}-{rank}.json"


def _lost(folder: Path, here: Processes, patience: float, study: RetrievalStudy) -> Iterator[int]:
    """The other processes one by one as they fall silent; ends when each has finished or is lost, or on a stop."""
    waiting = {rank: ("", time.monotonic()) for rank in range(here.count) if rank != here.rank}
    while waiting and not study.stop.is_set():
        for rank, (before, since) in list(waiting.items()):
            try:
                text = _path(folder, here, rank).read_text(encoding="utf-8")
            except OSError:
                text = ""
            if '"finished": true' in text:
                del waiting[rank]
            elif text != before:
                waiting[rank] = (text, time.monotonic())
            elif time.monotonic() - since > patience:
                del waiting[rank]
                yield rank
        study.stop.wait(_LOOK if waiting else 0)
