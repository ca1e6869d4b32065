"""The workbench as a Hugging Face Space: the same server as `workbench app --limits shared`, behind the one proxy that
a Space has.

Its hardware says what it serves, where WORKBENCH_... in its settings do not: the two 7B models on a GPU, of its own or
lent for a reply at a time (ZeroGPU), the shipped twins on a CPU. Visitors choose among the served models only: there is
no field for a path or a model's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

import workbench as wb
from apps.server.settings import Settings, read_settings
from apps.studio.launch import launch
from apps.studio.recorded import read_exchanges
from apps.studio.visit import Visiting

ZEROGPU = "SPACES_ZERO_GPU"
"""The variable that says so on a Space whose GPU is lent."""
DEFAULTS = {"WORKBENCH_LIMITS": "shared", "WORKBENCH_PROXIES": "1"}
"""What a Space has unless its own settings say otherwise."""
SEVEN_B = {"WORKBENCH_MODELS": "v0.1,v0.2"}
BY_MODE: Mapping[str, Mapping[str, str]] = {
    "cpu": {},
    "gpu": SEVEN_B,
    "zerogpu": SEVEN_B | {"WORKBENCH_CONCURRENCY": "4"},  # every visit may have a GPU of its own
}
"""What else it has in a mode."""


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Those of a shared host; what the environment sets comes before them."""
    lent = "zerogpu" if environ.get(ZEROGPU) else "gpu" if torch.cuda.is_available() else "cpu"
    mode = environ.get("WORKBENCH_MODE", lent)
    return read_settings(environ=DEFAULTS | {"WORKBENCH_MODE": mode} | dict(BY_MODE.get(mode, {})) | dict(environ))


def main(host: str = "0.0.0.0", port: int = 7860) -> None:
    """Serve the page until the process ends."""
    found = settings()
    offered = None if found.recorded is None else read_exchanges(found.recorded)
    models: Sequence[str | wb.Model] = found.models
    visiting: Visiting | None = None
    if found.mode == "zerogpu":
        from apps.space.zerogpu import lent, load

        loaded = load(found.models)
        if loaded:
            models, visiting = list(loaded.values()), lent(loaded)
        else:  # without weights the recorded runs are open all the same
            models, found = Settings().models, found.model_copy(update={"mode": "cpu"})
    launch(models, host=host, port=port, browser=False, recorded=offered, settings=found, visiting=visiting)


if __name__ == "__main__":
    main()
