"""Settings of sampling: numbers of numpy, stop texts in any form, and nothing that leaves the range of float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.prompts import prompt_of
from tests.reference import random_ids
from workbench.errors import SamplingError


def test_numpy_numbers_and_stop_texts_become_plain() -> None:
    found = wb.Sampling(
        max_new_tokens=np.int64(3),
        temperature=np.float32(0.5),
        seed=np.uint8(7),
        top_p=np.float64(0.5),
        stop=["x", "y"],  # type: ignore[arg-type]
    )
    assert found == wb.Sampling(max_new_tokens=3, temperature=0.5, seed=7, top_p=0.5, stop=("x", "y"))
    assert [type(v) for v in (found.max_new_tokens, found.temperature, found.seed, found.stop)] == [
        int,
        float,
        int,
        tuple,
    ]
    assert wb.Sampling(stop=None).stop == ()  # type: ignore[arg-type]
    assert wb.Sampling(stop="end").stop == ("end",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [{"stop": 5}, {"stop": [5]}, {"stop": ""}, {"temperature": None}, {"temperature": 1e-300}, {"temperature": 1e-40},
     {"repetition_penalty": 1e-40}, {"temperature": True}, {"seed": np.float64(1)}, {"temperature": 10**400}],
)  # fmt: skip
def test_what_cannot_be_sampled_is_one_short_sentence(settings: dict[str, Any]) -> None:
    with pytest.raises(SamplingError, match=next(iter(settings))) as caught:
        wb.Sampling(**settings)
    assert len(str(caught.value)) < 200


def test_the_smallest_settings_still_sample(tiny_checkpoint: Callable[..., Path]) -> None:
    model = wb.load(str(tiny_checkpoint()))
    prompt = prompt_of(model, random_ids(12, seed=1))
    cold = model.generate(prompt, wb.Sampling(max_new_tokens=3, temperature=1e-4, repetition_penalty=1e-4))
    assert len(list(cold)) == 3


def test_min_p_of_the_checkpoint_does_not_come_in(tiny_checkpoint: Callable[..., Path]) -> None:
    """0 switches it off, also where generation_config.json asks for one."""
    model = wb.load(str(tiny_checkpoint(seed=5)))
    prompt = prompt_of(model, random_ids(12, seed=1))
    settings = wb.Sampling(max_new_tokens=8, temperature=2.0, seed=3)
    expected = [step.token_id for step in model.generate(prompt, settings)]
    model.loaded.module.generation_config.min_p = 1.0  # only the likeliest token would be left
    assert [step.token_id for step in model.generate(prompt, settings)] == expected
