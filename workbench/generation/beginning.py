"""The tokens that a reply is to begin with, checked before anything is read."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from workbench.chat.prompt import EncodedPrompt
from workbench.errors import ContextLengthError, SamplingError
from workbench.generation.sampling import Sampling
from workbench.models.loaded import LoadedModel
from workbench.models.pieces import TextStream


def beginning(wanted: Any, model: LoadedModel, prompt: EncodedPrompt, sampling: Sampling) -> tuple[int, ...]:
    """``wanted`` as token ids with which a reply to ``prompt`` can begin; None is no token at all.

    Raises SamplingError for what is no row of ids of this model, for more of them than ``sampling`` allows the whole
    reply, and for ids after which the reply would have ended: an end token, a stop string. ContextLengthError when
    they do not fit behind the prompt.
    """
    ids = () if wanted is None else _ids(wanted, model.vocab_size)
    if len(prompt.ids) + len(ids) > model.context:
        raise ContextLengthError(
            f"The prompt has {len(prompt.ids)} tokens and the reply is to begin with {len(ids)}",
            expected=f"at most {model.context} together for {model.name}",
            remedy="Begin with fewer tokens or shorten the prompt",
        )
    if len(ids) > sampling.max_new_tokens:
        raise SamplingError(
            f"The reply is to begin with {len(ids)} tokens and to have at most {sampling.max_new_tokens}",
            expected="a reply with room for its beginning",
            remedy="Raise max_new_tokens, which counts the given tokens too, or begin with fewer",
        )
    ends = end_tokens(sampling.generation_config(model.module))
    for place, token in enumerate(ids):
        if token in ends:
            raise SamplingError(
                f"begin[{place}] is {token}, a token that ends a reply",
                expected="tokens after which the reply goes on",
                remedy="Give only those before it",
            )
    stream = TextStream(model.tokenizer, prompt.ids if prompt.roles[-1] == "text" else ())
    text = "".join(stream.push(token) for token in ids)
    for mark in sampling.stop:
        if mark in text:
            raise SamplingError(
                f"The tokens to begin with hold the stop string {mark!r}",
                expected="tokens after which the reply goes on",
                remedy="Give only those before it, or leave that stop string out",
            )
    return ids


def end_tokens(config: Any) -> frozenset[int]:
    """The ids that end a reply under a transformers ``GenerationConfig``."""
    ends = config.eos_token_id
    return frozenset() if ends is None else frozenset(map(int, ends if isinstance(ends, list | tuple) else [ends]))


def _ids(wanted: Any, vocabulary: int) -> tuple[int, ...]:
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable) or getattr(wanted, "ndim", 1) != 1:
        raise SamplingError(
            f"begin is a {type(wanted).__name__}", expected="a list of token ids",
            remedy="Encode a text first: begin=model.tokenizer.encode(text)",
        )  # fmt: skip
    found: list[int] = []
    for place, value in enumerate(wanted):
        try:
            token = -1 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            token = -1
        if not 0 <= token < vocabulary:
            raise SamplingError(
                f"begin[{place}] is {repr(value)[:40]}",
                expected=f"a token id of 0 to {vocabulary - 1}",
            )
        found.append(token)
    return tuple(found)
