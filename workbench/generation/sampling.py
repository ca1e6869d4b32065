"""How the next token is chosen: settings checked in words, then handed to transformers' own logits processors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from workbench.errors import SamplingError


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy. top_k 0, top_p 1, min_p 0 and repetition_penalty 1 switch their filters off.

    ``seed`` makes sampling repeatable. Generation ends at the end-of-sequence token, after ``max_new_tokens``, or when
    one of the ``stop`` strings appears in the new text.
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
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        _check("max_new_tokens", self.max_new_tokens, 1, math.inf, "a whole number of at least 1", whole=True)
        _check("temperature", self.temperature, 0, 100, "a number from 0 (greedy) to 100")
        _check("top_p", self.top_p, 0, 1, "a number above 0 and at most 1", open_below=True)
        _check("top_k", self.top_k, 0, math.inf, "a whole number, 0 for no limit", whole=True)
        _check("min_p", self.min_p, 0, 1, "a number from 0 (off) to 1")
        _check("repetition_penalty", self.repetition_penalty, 0, 100, "a number above 0 (1 is off)", open_below=True)
        _check("seed", self.seed, 0, 2**63 - 1, "a whole number from 0 to 2^63 - 1", whole=True)
        if any(not text or not isinstance(text, str) for text in self.stop):
            raise SamplingError("A stop string is empty", expected="non-empty texts", remedy="Leave empty ones out")

    def generation_config(self, module: Any) -> GenerationConfig:
        """The transformers settings of the same meaning, with the special tokens of ``module``. Every filter is stated:
        transformers' own defaults (top_k 50) would otherwise come in."""
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
        if self.min_p:
            filters["min_p"] = self.min_p
        return GenerationConfig(do_sample=True, **filters, **common)


def _check(
    name: str, value: Any, low: float, high: float, expected: str, whole: bool = False, open_below: bool = False
) -> None:
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not (low < value if open_below else low <= value) or value > high:
        raise SamplingError(f"{name} is {value!r}", expected=expected, remedy=f"Choose another {name}")
