"""A notebook's kernel, forked from the process of tests/forked.py: it has imported what a notebook imports, which is
most of what a short notebook takes. The tests of JupyterLab start a kernel as JupyterLab does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from tests.forked import forking


def fork_kernels() -> None:
    """From now on, every kernel that this process starts is forked."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners["forked"] = EntryPoint("forked", f"{__name__}:Provisioner", factory.GROUP_NAME)
    factory.default_provisioner_name = "forked"


def _kernel(words: list[str], environment: dict[str, str], folder: str | None) -> None:
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # takes long to import, and nobody sets a breakpoint
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    if folder:
        os.chdir(folder)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance(argv=words)


class _Process:
    """What jupyter_client asks of a process that it started."""

    stdin = stdout = stderr = None

    def __init__(self, words: list[str], environment: Mapping[str, str], folder: str | None) -> None:
        self._process = forking().Process(target=_kernel, args=(words, dict(environment), folder), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


class Provisioner(LocalProvisioner):
    """Starts a kernel by forking; all else is as for one that is started anew."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        words = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.process = _Process(words, kwargs["env"], kwargs.get("cwd"))
        self.pid, self.pgid = self.process.pid, None
        self.cwd = kwargs.get("cwd", os.getcwd())
        return self.connection_info
