"""`workbench app` as a person starts it: it prints its address, serves the page there, and ends with Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.interrupt import heard
from tests.ports import free_port
from workbench.cli import app


def test_the_page_is_served_until_ctrl_c(tiny_checkpoint: Callable[..., Path]) -> None:
    folder = tiny_checkpoint(layers=3, heads=6, kv_heads=2, hidden=48, window=16, theta=5e4, context=512)
    server = subprocess.Popen(
        [sys.executable, "-m", "workbench", "app", "-m", folder, "--no-browser", "--port", str(free_port())],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=heard,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        said = ""
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = server.stdout.readline()
            assert line, f"it ended before it printed an address:\n{said}"
            said += line
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address[0], timeout=120) as page:
            assert page.status == 200
            assert b"gradio" in page.read()
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=120)
    finally:
        server.kill()
    assert server.returncode in (0, 130)
    assert "Traceback" not in said + rest


def test_a_folder_of_recorded_exchanges_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read there is a sentence, before anything is served."""

    def served(*_: object, **__: object) -> None:
        raise AssertionError("the page was served")

    monkeypatch.setattr("apps.studio.launch.launch", served)
    for text, said in ((None, "no recorded exchanges"), ("[]", "malformed")):
        folder = tmp_path / str(text is None)
        folder.mkdir()
        if text is not None:
            (folder / "index.json").write_text(text)
        done = CliRunner().invoke(app, ["app", "--no-browser", "--recorded", str(folder)])
        assert done.exit_code == 2, done.output
        assert said in " ".join(done.stderr.split())
        assert "Traceback" not in done.output
