"""The workbench as a Hugging Face Space on CPU: the two shipped twins, and the exchanges recorded from them.

The Space is this repository; its card and requirements are beside this file. Visitors choose among the shipped models
only: there is no field for a path or a model's name.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a Space runs this file; the packages lie at its root

from apps.studio.app import TWINS
from apps.studio.launch import launch

NEW_TOKENS = 32
"""The longest reply a visitor starts with: the two free CPU cores are shared by everybody."""

if __name__ == "__main__":
    launch(TWINS, host="0.0.0.0", port=7860, browser=False, new_tokens=NEW_TOKENS)
