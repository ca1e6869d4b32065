"""The workbench in a browser: chat with one or two models and look inside any token."""
