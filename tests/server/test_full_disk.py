"""A disk that is full while a file comes in, is taken away or is fetched: a sentence, no half file, and the next one is
served. And a sender who goes in the middle of a file leaves nothing either."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors import SafetensorError

import workbench as wb
from apps.server.faults import DISK, SENTENCES
from tests.server.served import PATIENCE, Served, tab

UPLOAD = "/gradio_api/upload"


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")


def files(served: Served) -> list[Path]:
    return [path for path in served.folder.rglob("*") if path.is_file()]


@pytest.fixture
def counted(served: Served) -> Iterator[Served]:
    """The served app, in which one fault is counted, and told in the log alone."""
    before = served.studio.admission.metrics.faults().get(DISK, 0)
    yield served
    assert served.studio.admission.metrics.faults()[DISK] == before + 1
    served.mishaps.clear()


@pytest.fixture(scope="module")
def saved(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An inspection as a file."""
    path = tmp_path_factory.mktemp("saved") / "made.inspection"
    wb.load(models[1]).inspect("Hello there", wb.Capture.nothing()).save(path)
    return path.read_bytes()


def sent(served: Served, content: bytes) -> httpx.Response:
    return served.client.post(UPLOAD, files={"files": ("made.inspection", content)})


def opened(served: Served, saved: bytes, owner: str) -> str:
    """The run of a file that is sent and opened as the Runs page does it; nothing of it stays on the disk."""
    found = served.call("open", {"tab": owner, "path": sent(served, saved).raise_for_status().json()[0]}).json()
    assert files(served) == []
    return str(found["run"])


def test_while_a_file_comes_in(counted: Served, saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import route_utils

    made: list[Path] = []
    temporary = route_utils.NamedTemporaryFile

    def small(**given: Any) -> Any:
        """A file that has room for a few bytes."""
        file = temporary(**given)
        made.append(Path(file.name))

        def write(content: bytes) -> None:
            file.file.write(content[:10])
            file.file.flush()
            full()

        file.write = write
        return file

    with monkeypatch.context() as patch:
        patch.setattr(route_utils, "NamedTemporaryFile", small)
        refused = sent(counted, saved)
        assert (refused.status_code, refused.json()) == (507, {"detail": SENTENCES[DISK]})
        assert len(made) == 1 and made[0].parent == counted.folder
        assert files(counted) == []
    owner = tab()
    run = opened(counted, saved, owner)
    assert "error" not in counted.call("answer", {"tab": owner, "run": run, "kind": "open"}).json()
    counted.studio.runs.forget(owner)


def half(arrays: Any, path: str, **_: Any) -> None:
    """What safetensors does on a full disk: its error is no OSError."""
    Path(path).write_bytes(b"half")
    raise SafetensorError(f"Error while serializing: I/O error: No space left on device (os error {errno.ENOSPC})")


@pytest.mark.parametrize("kind", ["inspection", "html", "py", "ipynb"])
def test_while_a_run_is_taken_away(kind: str, counted: Served, saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = tab()
    asked = {"tab": owner, "run": opened(counted, saved, owner), "format": kind}
    with monkeypatch.context() as patch:
        patch.setattr("workbench.models.tensor_file.save_file", half)
        patch.setattr("pathlib.Path.write_text", full)
        patch.setattr("os.replace", full)
        assert counted.call("export", asked).json() == {"error": SENTENCES[DISK]}
        assert files(counted) == []
    path = counted.call("export", asked).json()["path"]
    assert counted.client.get(f"/gradio_api/file={path}").status_code == 200
    Path(path).unlink()
    counted.studio.runs.forget(owner)


def test_while_a_grid_is_taken_away(counted: Served, models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    owner = tab()
    form = {"tab": owner, "models": [counted.call("grid_known", {}).json()["models"][0]["id"]], "tasks": ["needle"],
            "lengths": [128], "depths": [0.5], "cases": 1, "seed": 0, "form": "chat"}  # fmt: skip
    begun = counted.call("grid_start", form).json()
    until = time.monotonic() + PATIENCE
    while (told := counted.call("job_status", {"tab": owner, "job": begun["job"]}).json())["state"] != "done":
        assert told["state"] in ("waiting", "running") and time.monotonic() < until, told
        time.sleep(0.02)
    asked = {"tab": owner, "study": begun["study"], "kind": "jsonl"}
    with monkeypatch.context() as patch:
        patch.setattr("workbench.context.grid.Grid.save_jsonl", full)
        assert counted.call("grid_file", asked).json() == {"error": SENTENCES[DISK]}
    assert counted.call("grid_file", asked).json()["data"]


def test_a_sender_who_goes_leaves_no_half_file(served: Served, saved: bytes) -> None:
    request = served.client.build_request("POST", UPLOAD, files={"files": ("made.inspection", saved)})
    body = request.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port or 80), PATIENCE) as one:
        one.sendall(f"POST {UPLOAD} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])
        until = time.monotonic() + PATIENCE
        while not files(served):
            assert time.monotonic() < until, "it never came"
            time.sleep(0.01)
    while files(served):
        assert time.monotonic() < until, "half a file stayed"
        time.sleep(0.01)
    owner = tab()
    assert opened(served, saved, owner)
    served.studio.runs.forget(owner)
