"""The errors a user can meet: each says what was wrong, what was expected and how to fix it, in one or two sentences.

The command line turns them into exit code 2, the browser page into a message; neither shows a traceback for them.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """A mistake in what was asked for, not in the workbench.

    ``what`` was wrong, ``expected`` instead, ``remedy`` to fix it; ``str(error)`` joins the three into plain sentences.
    Half of a character (a lone surrogate) is a question mark in them.
    """

    exit_code = 2

    def __init__(self, what: str, *, expected: str = "", remedy: str = "") -> None:
        what, expected, remedy = (text.encode("utf-8", "replace").decode() for text in (what, expected, remedy))
        self.what, self.expected, self.remedy = what, expected, remedy
        parts = [what.rstrip(".")]
        if expected:
            parts.append(f"expected {expected.rstrip('.')}")
        sentence = "; ".join(parts) + "."
        super().__init__(f"{sentence} {remedy.rstrip('.')}." if remedy else sentence)


class UnknownModelError(WorkbenchError, ValueError):
    """The name is no registered model, no folder and no hub id, or what was given is no model."""


class CheckpointError(WorkbenchError, ValueError):
    """The checkpoint is missing a file, is corrupt, or is not a Mistral architecture."""


class OfflineError(WorkbenchError, OSError):
    """Weights are needed that are not on this machine, and they may not or cannot be downloaded."""


class DeviceError(WorkbenchError, RuntimeError):
    """The device, dtype or quantization asked for does not exist here."""


class PromptError(WorkbenchError, ValueError):
    """The prompt or conversation cannot be encoded: empty, wrong roles, wrong type."""


class ContextLengthError(WorkbenchError, ValueError):
    """The prompt, or the prompt with the tokens to generate, is longer than the model's context."""


class SamplingError(WorkbenchError, ValueError):
    """A sampling setting is impossible."""


class CaptureError(WorkbenchError, ValueError):
    """A capture names layers, heads or positions that do not exist, or would be too large."""


class SwitchError(WorkbenchError, ValueError):
    """A window or theta that no model can have."""


class ComparisonError(WorkbenchError, ValueError):
    """Two models or two results that cannot be compared, or not in this way."""


class CacheError(WorkbenchError, ValueError):
    """A cache policy or budget that is impossible."""


class FileFormatError(WorkbenchError, ValueError):
    """A file to open is truncated, damaged, too large, of another format, or hostile."""
