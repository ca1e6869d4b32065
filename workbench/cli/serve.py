"""`workbench app`: the page in the browser."""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, loaded
from workbench.errors import WorkbenchError
from workbench.models.registry import SPECS, assets_folder, resolve

EXAMPLES = """Examples:

`workbench app`

`workbench app --model twin-v0.2 --port 8000 --no-browser`

`workbench app --model v0.1 --model v0.2 --dtype bfloat16 --device-map cuda`

`workbench app --recorded recorded-on-a-gpu`

`workbench app --host 0.0.0.0 --no-browser --limits shared`"""


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="A model to chat with; name two to compare. Default: both twins.", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port; the next free one when it is taken.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    limits: Annotated[
        str | None,
        typer.Option(
            help="What visitors may do: none (your own machine), shared (a host for many strangers), or a TOML file; "
            "docs/server.md has every setting, each also WORKBENCH_... in the environment.",
            show_default="none",
        ),
    ] = None,
    recorded: Annotated[
        Path | None,
        typer.Option(
            help="A folder of recorded exchanges to offer instead of the shipped ones, made by python -m "
            "apps.studio.record; for example from the 7B models on a GPU.",
            show_default=False,
        ),
    ] = None,
    opinions: Annotated[
        Path | None,
        typer.Option(
            help="Keep votes and feedback in this folder; without it they are not asked for. "
            "workbench opinions reads it.",
            show_default=False,
        ),
    ] = None,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:
    """Open the page: chat with both models side by side and click any token."""
    if model is not None and len(model) > 2:
        raise WorkbenchError(f"{len(model)} models", expected="one or two", remedy="Name at most two with --model")
    if importlib.util.find_spec("gradio") is None:
        raise WorkbenchError(
            "the page needs gradio, which is not installed", remedy="pip install 'mistral-workbench[apps]'"
        )
    from apps.server.settings import read_settings

    settings = read_settings(limits, models=tuple(model) if model else None, recorded=recorded, opinions=opinions)
    names, recorded = settings.models, settings.recorded
    for name in names:
        resolve(name)
    # gradio counts its starts at its maker's; nothing of this page leaves the host.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from apps.studio.launch import launch

    offered = None
    if recorded is not None:
        from apps.studio.recorded import read_exchanges

        if not (offered := read_exchanges(recorded)):
            raise WorkbenchError(
                f"There are no recorded exchanges in {recorded}", expected="a folder with an index.json",
                remedy="Make one: python -m apps.studio.record --folder FOLDER",
            )  # fmt: skip
    device_map = device_map or settings.loading.get("device_map")
    options = (revision, dtype, device_map, quantization, local_files_only)
    usual = options == (None, "auto", None, None, False)
    models = [name if usual and is_shipped(name) else loaded(name, *options) for name in names]
    launch(models, host=host, port=port, browser=browser, recorded=offered, settings=settings)
    # A thread may still be computing a reply, and an interpreter that shuts down under torch's threads can abort. What
    # was registered for the end (an offload folder to remove) runs; the interpreter is not taken apart.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def is_shipped(name: str) -> bool:
    """Whether ``name`` is a twin that is here: it loads in a moment, while the page opens. Anything else can fail or
    take long, so it is loaded before."""
    spec = SPECS.get(name)
    return spec is not None and spec.kind == "twin" and (assets_folder() / spec.location / "config.json").is_file()
