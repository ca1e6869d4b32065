"""The hub: what is downloaded, from a server in this process, and the sentences without one."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, file_download

from workbench.errors import CheckpointError, OfflineError, UnknownModelError
from workbench.models import SPECS, load_model

Build = Callable[..., Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "some-org/tiny"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def reach(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


class Server(ThreadingHTTPServer):
    """As much of the hub's interface as a download needs; ``asked`` are the paths of the files it sent."""

    def __init__(self, folder: Path, *, gated: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.gated, self.asked = folder, gated, list[str]()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not path.removeprefix("/api/models").startswith(f"/{MODEL}"):
            self.send(b'{"error": "Repository not found"}', 404, {"X-Error-Code": "RepoNotFound"})
        elif path.startswith("/api/models"):
            self.listing(path)
        elif self.server.gated:
            self.send(b"{}", 403, {"X-Error-Code": "GatedRepo"})
        else:
            name = path.split("/")[-1]
            data = (self.server.folder / name).read_bytes()
            if self.command == "GET":
                self.server.asked.append(name)
            self.send(data, 200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def listing(self, path: str) -> None:
        files = [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "1" * 40}
            for file in sorted(self.server.folder.iterdir())
        ]
        about = {"id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": [{"rfilename": f["path"]} for f in files]}
        if "/unknown" in path:
            self.send(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            self.send(json.dumps(files if "/tree/" in path else about).encode(), 200, {})

    def send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def served(tiny_checkpoint: Build, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = Path(shutil.copytree(tiny_checkpoint(window=16), tmp_path / "served"))
    for extra in ("pytorch_model.bin", "consolidated.safetensors", "README.md", "modeling_tiny.py"):
        (folder / extra).write_bytes(b"not asked for")
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    reach(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    yield server
    server.shutdown()
    server.server_close()


def test_a_named_model_is_downloaded_once_and_only_what_is_read(
    served: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(MODEL, device_map="cpu")
    assert loaded.revision == COMMIT
    assert loaded.window == 16
    assert set(served.asked) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert "Fetching 5 files" in capfd.readouterr().err, "no progress was shown"
    served.asked.clear()
    assert load_model(MODEL, revision=COMMIT, device_map="cpu").weights_hash == loaded.weights_hash
    assert load_model(MODEL, local_files_only=True, device_map="cpu").revision == COMMIT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(MODEL, device_map="cpu").revision == COMMIT
    assert served.asked == []
    next(cache.rglob("snapshots/*/model.safetensors")).unlink()
    with pytest.raises(OfflineError, match="only partly on this machine"):
        load_model(MODEL)


def test_refusals_of_the_hub_are_one_sentence(served: Server) -> None:
    with pytest.raises(UnknownModelError, match="no model some-org/other"):
        load_model("some-org/other")
    with pytest.raises(UnknownModelError, match="no revision unknown"):
        load_model(MODEL, revision="unknown")
    served.gated = True
    with pytest.raises(CheckpointError, match="accepted its licence"):
        load_model(MODEL)


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("name", ["v0.2", MODEL])
def test_without_a_network_the_sentence_comes_quickly(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(closed_port(), monkeypatch)
    started = time.perf_counter()
    with pytest.raises(OfflineError, match="the hub cannot be reached") as caught:
        load_model(name)
    assert time.perf_counter() - started < 10  # the hub's own retries wait for longer
    assert "hf download" in str(caught.value)
    assert not list(cache.rglob("*.safetensors"))


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline_by_choice_asks_nobody(by_environment: bool, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by_environment)
    with pytest.raises(OfflineError, match="downloads are switched off") as caught:
        load_model("v0.1", local_files_only=None if by_environment else True)
    assert f"hf download {SPECS['v0.1'].location} --revision {SPECS['v0.1'].revision}" in str(caught.value)


def test_a_cached_snapshot_of_a_pinned_model_is_used_and_checked(
    tiny_checkpoint: Build, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache laid out by hand, as it is when copied from another machine."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    spec = SPECS["v0.2"]
    snapshot = cache / f"models--{spec.location.replace('/', '--')}" / "snapshots" / str(spec.revision)
    shutil.copytree(tiny_checkpoint(window=None, theta=1e6), snapshot)
    loaded = load_model("v0.2", device_map="cpu")
    assert (loaded.name, loaded.revision, loaded.window, loaded.theta) == ("v0.2", spec.revision, None, 1e6)
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps(config | {"sliding_window": 4096}))
    with pytest.raises(CheckpointError, match="states sliding_window 4096; expected null, as published"):
        load_model("v0.2")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        load_model("v0.2")
