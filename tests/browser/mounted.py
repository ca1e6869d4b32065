"""Widgets of this process in a page without Jupyter: the loader of the widgets over models that speak to Python."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from workbench.widgets.base import FOLDER, View

MODELS = Path(__file__).with_name("models.js")


def write_page(folder: Path) -> str:
    """A page without widgets; returns its address."""
    loader = (FOLDER / "loader.js").read_text(encoding="utf-8").replace("export default", "window.loader =")
    style = (FOLDER / "widget.css").read_text(encoding="utf-8")
    target = folder / "widgets.html"
    head = f'<meta charset="utf-8"><title>Widgets</title><style>{style} body {{ margin: 12px }}</style>'
    target.write_text(
        f'<!doctype html><html lang="en" data-theme="light"><head>{head}</head>'
        f"<body><script>{loader}</script><script>{MODELS.read_text()}</script></body></html>",
        encoding="utf-8",
    )
    return target.as_uri()


class Kernel:
    """The other side of the page's models: takes their messages to the widgets, and the widgets' to the page."""

    def __init__(self, page: Page) -> None:
        self.page, self._widgets, self._leaving = page, dict[str, View](), deque[tuple[str, Any]]()
        page.expose_function("kernel", self._take)

    def show(self, widget: View) -> Any:
        """Mount a widget at the end of the page; returns the locator of its place."""
        self._widgets[widget.key] = widget
        widget.comm.send = lambda data, *rest, **more: self._leaving.append((widget.key, data))  # type: ignore[union-attr]
        self.page.evaluate("([key, state]) => window.mount(key, state)", [widget.key, _plain(widget.get_state())])
        return self.page.locator(f"[data-widget='{widget.key}']")

    def flush(self) -> None:
        """Take to the page what Python has said of its own."""
        self.page.evaluate("messages => window.arrive(messages)", self._said())

    def _take(self, key: str, text: str) -> list[Any]:
        message = {"content": {"data": json.loads(text)}, "buffers": []}
        self._widgets[key].comm.handle_msg(message)  # type: ignore[union-attr]
        return self._said()

    def _said(self) -> list[Any]:
        said = [[key, _plain(data)] for key, data in self._leaving if data.get("method") != "echo_update"]
        self._leaving.clear()
        return said


def _plain(value: Any) -> Any:
    """JSON alone: a reference to a layout or style widget stays a text."""
    return json.loads(json.dumps(value))
