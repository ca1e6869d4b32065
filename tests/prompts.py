"""Prompts made of bare ids, for tests that need exact lengths."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.chat.encoding import EncodedPrompt
from workbench.model import Model


def prompt_of(model: Model, ids: Sequence[int]) -> EncodedPrompt:
    """The ids as an encoded prompt of this model, without text."""
    n = len(ids)
    pieces = tuple(model.tokenizer.pieces(list(ids)))
    return EncodedPrompt(tuple(ids), pieces, ("text",) * n, (None,) * n, (0,) * n, "", model.tokenizer.sha256)
