"""How long the texts of a study may be: as long as a prompt of the chat, looked at before a model reads any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import workbench as wb
from apps.server.admission import Admission


def check_lengths(admission: Admission, models: Sequence[wb.Model], prompts: Iterable[Any], home: str) -> None:
    """Raises RefusedError when one of ``prompts`` (each what `Model.encode` takes) is longer for one of ``models`` than
    it may be here; ``home`` is the command that reads it on one's own machine. Nothing is counted without a limit."""
    if admission.settings.max_prompt_tokens is not None:
        for prompt in prompts:
            admission.check_prompt(max(len(model.encode(prompt)) for model in models), home)
