"""Models named with their switches in one word: ``twin-v0.1@window=none,theta=1e6``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workbench.cli import options
from workbench.errors import SwitchError, WorkbenchError

if TYPE_CHECKING:
    from workbench.model import Model

HELP = "A name, a hub id or a folder; with @window=none or @theta=1e6 behind it, those switches. Give several."


def parted(word: str) -> tuple[str, dict[str, Any]]:
    """The model's name and its switches. Raises SwitchError for a switch that is none."""
    name, at, said = word.rpartition("@")
    if not at:
        return word, {}
    window: str | None = None
    theta: float | None = None
    for part in said.split(","):
        switch, _, value = part.partition("=")
        if switch.strip() == "window" and value:
            window = value
        elif switch.strip() == "theta" and value:
            try:
                theta = float(value)
            except ValueError:
                raise SwitchError(f"theta is {value[:40]!r}", expected="a number such as 1e6") from None
        else:
            raise SwitchError(f"{part[:40]!r} is no switch", expected="window=... or theta=..., with a comma between")
    return name, options.switches(window, theta)


def loaded(
    words: Iterable[str], dtype: str, device_map: str | None, quantization: str | None, local: bool
) -> list[Model]:
    """The models of these words, in their order; each checkpoint is loaded once, switches copy nothing."""
    wanted = [parted(word) for word in words]
    known: dict[str, Model] = {}
    for name, _ in wanted:
        if name not in known:
            known[name] = options.loaded(name, None, dtype, device_map, quantization, local)
    return [known[name].switched(**switches) if switches else known[name] for name, switches in wanted]


def numbers(text: str, option: str, kind: type = int) -> list[Any]:
    """Numbers with commas between, whole ones unless ``kind`` is float. Raises WorkbenchError for anything else."""
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise WorkbenchError(f"{option} is {text[:60]!r}", expected="numbers with commas between") from None
