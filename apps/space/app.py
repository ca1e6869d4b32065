"""The workbench as a Hugging Face Space: the shipped twins on CPU, or what WORKBENCH_... in its settings names.

The Space is this repository; its card and requirements are beside this file. It is the same server as `workbench app
--limits shared`, behind the one proxy that a Space has. Visitors choose among the served models only: there is no field
for a path or a model's name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a Space runs this file; the packages lie at its root

from apps.server.settings import Settings, read_settings
from apps.studio.launch import launch
from apps.studio.recorded import read_exchanges

DEFAULTS = {"WORKBENCH_LIMITS": "shared", "WORKBENCH_PROXIES": "1"}
"""What a Space has unless its own settings say otherwise."""


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Those of a shared host; what the environment sets comes before them."""
    return read_settings(environ=DEFAULTS | dict(environ))


if __name__ == "__main__":
    found = settings()
    offered = None if found.recorded is None else read_exchanges(found.recorded)
    launch(found.models, host="0.0.0.0", port=7860, browser=False, recorded=offered, settings=found)
