"""Threads that share one model's weights, each with its own prompt and capture, each get what they get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.generation.prefill import new_cache, prefill
from workbench.inspection.inspection import Inspection
from workbench.model import Model, load_model

CAPTURES = (
    wb.Capture.full(),
    wb.Capture(wb.AttentionCapture(rows="all", layers=[1], pool=4), wb.LensCapture(positions="all", layers=[0, 2])),
    wb.Capture(wb.AttentionCapture(statistics=False)),
)


def record(model: Model, turn: int) -> Inspection:
    """A reply with a capture of its own, read in a loop as a page reads it."""
    prompt = prompt_of(model, random_ids(25 + 9 * turn, seed=turn))
    run = model.generate(prompt, wb.Sampling(max_new_tokens=7, temperature=0.8, seed=turn), CAPTURES[turn])
    for _ in run:
        pass
    return run.inspection


@pytest.mark.parametrize("device_map", [None, {"": "disk"}], ids=["memory", "disk"])
def test_each_thread_gets_its_own(tiny_checkpoint: Callable[..., Path], device_map: Any) -> None:
    """Two threads on one model and one on a switched sibling. Offloaded weights are brought in for one at a time."""
    folder = tiny_checkpoint(layers=2, heads=4, kv_heads=2, window=12)
    model = Model(load_model(folder, device_map=device_map))
    users = [model, model, model.switched(window=None, theta=1e6)]
    alone = [record(user, i) for i, user in enumerate(users)]
    found: list[list[Inspection]] = [[], [], []]
    failed: list[BaseException] = []
    start = threading.Barrier(3)

    def work(i: int) -> None:
        try:
            start.wait()
            for _ in range(2):
                found[i].append(record(users[i], i))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for mine, others in zip(alone, found, strict=True):
        for other in others:
            assert set(mine.arrays) == set(other.arrays)
            for name, values in mine.arrays.items():
                if name != "steps.seconds":
                    np.testing.assert_array_equal(values, other.arrays[name], err_msg=name)


def test_offloaded_weights_serve_one_forward_at_a_time(tiny_checkpoint: Callable[..., Path]) -> None:
    """accelerate brings weights in for a call and takes them out after it: threads would take each other's away."""
    module = Model(load_model(tiny_checkpoint(layers=2), device_map={"": "disk"})).module
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def work() -> None:
        try:
            start.wait()
            for _ in range(12):
                prefill(module, [1, 5, 9], new_cache(module))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
