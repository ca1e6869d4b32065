"""JupyterLab as a server of its own, in a folder of its own, and its kernel as seen from outside."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking import BlockingKernelClient

from tests.ports import free_port

START = 180  # seconds JupyterLab may take to answer, on a busy machine


class Lab:
    """A running JupyterLab whose files are in ``folder``."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self.folder, self.host, self.token = folder, f"127.0.0.1:{port}", token

    def address(self, notebook: str) -> str:
        """Where a browser opens ``notebook``; every address has a workspace of its own."""
        return f"http://{self.host}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token={self.token}"

    def ask(self, path: str) -> Any:
        """What the server's REST interface says at ``path``."""
        request = urllib.request.Request(f"http://{self.host}/{path}", headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def evaluate(self, notebook: str, code: str) -> str:
        """What ``code`` prints in the kernel of ``notebook``."""
        (kernel,) = [one["kernel"]["id"] for one in self.ask("api/sessions") if one["path"] == notebook]
        client = BlockingKernelClient()
        client.load_connection_file(str(self.folder / "runtime" / f"kernel-{kernel}.json"))
        client.start_channels()
        printed: list[str] = []
        try:
            reply = client.execute_interactive(
                code,
                timeout=180,
                store_history=False,
                output_hook=lambda message: printed.append(message["content"].get("text", "")),
            )
        finally:
            client.stop_channels()
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed).strip()


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """JupyterLab over ``folder`` on a free port, asking nobody for news; ended with its kernels at the end."""
    port = free_port()
    lab = Lab(folder, port, secrets.token_hex(16))
    homes = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
    }  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')  # nor a question about it over the cells
    widgets = folder / "settings" / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings"
    widgets.parent.mkdir(parents=True)
    widgets.write_text('{"saveState": true}')
    environment = os.environ | {name: str(folder / home) for name, home in homes.items()} | {"PYTHONPATH": str(root)}
    log = folder / "jupyterlab.log"
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
             "--ServerApp.port_retries=0", f"--IdentityProvider.token={lab.token}", f"--ServerApp.root_dir={folder}",
             "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
             "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
            env=environment, cwd=folder, stdout=written, stderr=written,
        )  # fmt: skip
        try:
            until = time.monotonic() + START
            while True:
                try:
                    lab.ask("api/status")
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < until, log.read_text()
                    time.sleep(0.1)
            yield lab
        finally:
            server.terminate()  # JupyterLab ends its kernels on SIGTERM
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
