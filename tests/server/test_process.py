"""A server as a process of its own: clients that go, a password, and its end by SIGTERM while a reply is written."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port

WAIT = 60.0
"""Seconds after which what should have happened is a failure."""
LIMITS = """\
limits = "shared"
password = "sésame"
metrics_token = "operator"
max_new_tokens = 1024
per_visitor = 8
"""
AUTH = ("anybody", "sésame")


@dataclass
class Server:
    process: subprocess.Popen[str]
    client: httpx.Client
    temporary: Path

    def lined(self, running: int, waiting: int) -> None:
        """Waits until so many requests for a reply run and wait in line."""
        wanted = {f"workbench_reply_running {running}", f"workbench_reply_waiting {waiting}"}
        until(lambda: wanted <= set(self.metrics().splitlines()))

    def metrics(self) -> str:
        found = self.client.get("/metrics", headers={"Authorization": "Bearer operator"}, auth=None)
        assert found.status_code == 200
        return found.text

    def asking(self, tokens: int) -> socket.socket:
        """A connection that has asked for a reply of ``tokens`` and would wait for it."""
        said = [{"role": "user", "content": "Hello"}]
        body = {"input_data": {"input_string": said, "parameters": {"max_new_tokens": tokens}}}
        request = self.client.build_request("POST", "/score", json=body)
        request = next(httpx.BasicAuth(*AUTH).auth_flow(request))
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        one = socket.create_connection((request.url.host, request.url.port or 80), WAIT)
        one.sendall(f"POST /score HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        return one

    def short(self) -> Any:
        said = [{"role": "user", "content": "Hi"}]
        body = {"input_data": {"input_string": said, "parameters": {"max_new_tokens": 2}}}
        found = self.client.post("/score", json=body)
        assert found.status_code == 200, found.text
        return found.json()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def slow(tiny_checkpoint: Callable[..., Path]) -> Path:
    """A model that takes its time: none of its replies ends before the tests have looked."""
    return tiny_checkpoint(layers=24, seed=5)


@pytest.fixture(scope="module")
def server(slow: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "limits.toml").write_text(LIMITS, encoding="utf-8")
    (folder / "tmp").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "workbench", "app", "-m", str(slow), "--port", str(port), "--no-browser",
               "--limits", str(folder / "limits.toml")]  # fmt: skip
    environ = {**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        told: list[str] = []
        for line in process.stdout:
            told.append(line)
            if "is open at" in line:
                break
        assert told and "is open at" in told[-1], "".join(told)
        threading.Thread(target=process.stdout.read, daemon=True).start()
        with httpx.Client(base_url=told[-1].split()[-1], auth=AUTH, timeout=WAIT) as client:
            yield Server(process, client, folder / "tmp")
    finally:
        process.kill()
        process.wait(WAIT)


def test_a_password_stands_before_a_real_server(server: Server) -> None:
    for path in ("/", "/compare", "/config", "/gradio_api/info"):
        assert server.client.get(path).status_code == 200
        for auth in (None, ("anybody", "sesame")):
            refused = httpx.get(f"{server.client.base_url}{path}", auth=auth)
            assert refused.status_code == 401 and "password" in refused.json()["detail"]
    assert server.short()


def test_a_client_that_goes_frees_its_place(server: Server) -> None:
    """One that is answered, and one that waits in line behind it."""
    first = server.asking(1024)
    server.lined(1, 0)
    second = server.asking(1024)
    server.lined(1, 1)
    second.close()
    server.lined(1, 0)
    first.close()
    server.lined(0, 0)
    assert server.short()


def test_sigterm_ends_it_while_a_reply_is_written(server: Server) -> None:
    """Within seconds, with nothing left of its temporary files."""
    client = server.asking(1024)
    server.lined(1, 0)
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.process.wait(WAIT) == 0
    assert time.monotonic() - began < 30
    client.close()
    assert [path for path in server.temporary.iterdir() if path.name.startswith("workbench-")] == []
    with pytest.raises(httpx.ConnectError):
        server.client.get("/")
