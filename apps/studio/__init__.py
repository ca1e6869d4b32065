"""The workbench in a browser: chat with one or two models and look inside any token."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported: nothing leaves this machine
