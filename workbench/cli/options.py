"""The options of every command that loads a model: the keywords of `wb.load`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.errors import SwitchError, WorkbenchError
from workbench.models.architecture import check_theta, check_window
from workbench.models.bars import no_bars
from workbench.models.registry import resolve

if TYPE_CHECKING:
    from workbench.model import Model

Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a hub model. v0.1 and v0.2 are pinned.", show_default=False)
]
Dtype = Annotated[
    str, typer.Option(help="auto, float32, bfloat16 or float16. auto: float32 on a CPU, as stored on a GPU.")
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        help='Where the weights go: cpu, cuda, auto, or accelerate\'s map as JSON, {"": 0}.', show_default=False
    ),
]
Quantization = Annotated[
    str | None, typer.Option(help="8bit or 4bit, through bitsandbytes on a GPU.", show_default=False)
]
LocalOnly = Annotated[
    bool, typer.Option("--local-files-only", help="Never download, even when the weights are missing.")
]
Window = Annotated[
    str | None,
    typer.Option(
        help="Run the same weights with another sliding window: a number of tokens, or none. Default: the model's own.",
        show_default=False,
    ),
]
Theta = Annotated[
    float | None,
    typer.Option(
        help="Run the same weights with another RoPE theta, such as 1e6. Default: the model's own.", show_default=False
    ),
]


def switches(window: str | None, theta: float | None) -> dict[str, Any]:
    """The keywords of `Model.switched`; what is not asked for is not among them. Raises SwitchError."""
    found: dict[str, Any] = {}
    if window is not None:
        word = window.strip().lower()
        if word != "none" and not word.removeprefix("-").isdecimal():
            raise SwitchError(f"--window is {window[:40]!r}", expected="a number of tokens, or none for full attention")
        found["window"] = check_window(None if word == "none" else int(word[:20]))
    if theta is not None:
        found["theta"] = check_theta(theta)
    return found


def loaded(
    model: str, revision: str | None, dtype: str, device_map: str | None, quantization: str | None, local: bool
) -> Model:
    """The model of these options, loaded. What goes on is said at a terminal; a download, which only a hub name can
    cause, shows its progress in a pipe as well."""
    import workbench as wb

    if sys.stderr.isatty():
        print(f"Loading {model} ...", file=sys.stderr)
    with nullcontext() if sys.stderr.isatty() or resolve(model).kind == "hub" else no_bars():
        return wb.load(
            model,
            revision=revision,
            dtype=dtype,
            device_map=placement(device_map),
            quantization=quantization,
            local_files_only=local or None,
        )


def placement(device_map: str | None) -> str | dict[str, Any] | None:
    """accelerate's device map: a word as it is, a JSON object as a dict."""
    if device_map is None or not device_map.lstrip().startswith("{"):
        return device_map
    try:
        return dict(json.loads(device_map))
    except ValueError as error:
        raise WorkbenchError(
            f"--device-map is not JSON ({error})", expected='a word, or an object such as {"": "cpu"}'
        ) from None
