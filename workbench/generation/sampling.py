"""How the next token is chosen: settings checked in words, then handed to transformers' own logits processors."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from transformers import GenerationConfig

from workbench.errors import SamplingError

SMALLEST = 1e-4
"""Smallest temperature and repetition penalty: dividing logits by less leaves the range of float32."""


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy. top_k 0, top_p 1, min_p 0 and repetition_penalty 1 switch their filters off.

    ``seed`` makes sampling repeatable. Generation ends at the end-of-sequence token, after ``max_new_tokens``, or when
    one of the ``stop`` strings appears in the new text. Numbers of numpy become Python's own.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stop is None or isinstance(self.stop, str):
            object.__setattr__(self, "stop", () if self.stop is None else (self.stop,))
        elif isinstance(self.stop, Iterable):
            object.__setattr__(self, "stop", tuple(self.stop))
        else:
            raise SamplingError(f"stop is {self.stop!r}", expected="a text or several", remedy='Write stop=("...",)')
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "stop" and not isinstance(value, bool | int | float):
                if isinstance(value, numbers.Real):
                    value = int(value) if isinstance(value, numbers.Integral) else float(value)
                object.__setattr__(self, field.name, value)
        _check("max_new_tokens", self.max_new_tokens, 1, math.inf, "a whole number of at least 1", whole=True)
        coldest = 0 if self.temperature == 0 else SMALLEST
        _check("temperature", self.temperature, coldest, 100, "0 (greedy) or a number from 0.0001 to 100")
        _check("top_p", self.top_p, 0, 1, "a number above 0 and at most 1", open_below=True)
        _check("top_k", self.top_k, 0, math.inf, "a whole number, 0 for no limit", whole=True)
        _check("min_p", self.min_p, 0, 1, "a number from 0 (off) to 1")
        _check("repetition_penalty", self.repetition_penalty, SMALLEST, 100, "a number from 0.0001 to 100 (1 is off)")
        _check("seed", self.seed, 0, 2**63 - 1, "a whole number from 0 to 2^63 - 1", whole=True)
        if any(not text or not isinstance(text, str) for text in self.stop):
            raise SamplingError("A stop string is empty or no text", expected="texts", remedy="Leave the others out")

    def generation_config(self, module: Any) -> GenerationConfig:
        """The transformers settings of the same meaning, with the special tokens of ``module``. Every filter named here
        is stated: transformers' own defaults (top_k 50) and the checkpoint's would otherwise come in. What else the
        checkpoint's generation_config.json asks for (suppressed tokens, say) stays in force, as in ``generate``."""
        own, config = module.generation_config, module.config
        eos = own.eos_token_id if own.eos_token_id is not None else config.eos_token_id
        ends = eos if isinstance(eos, list) else [eos]
        common: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens,
            "bos_token_id": config.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": config.pad_token_id if config.pad_token_id is not None else ends[0],
            "repetition_penalty": self.repetition_penalty,
            "use_cache": True,
        }
        if self.temperature == 0:
            return GenerationConfig(do_sample=False, **common)
        filters: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        if self.min_p or getattr(own, "min_p", None):
            filters["min_p"] = self.min_p
        return GenerationConfig(do_sample=True, **filters, **common)


def _check(
    name: str, value: Any, low: float, high: float, expected: str, whole: bool = False, open_below: bool = False
) -> None:
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not (low < value if open_below else low <= value) or value > high:
        raise SamplingError(f"{name} is {repr(value)[:40]}", expected=expected, remedy=f"Choose another {name}")
