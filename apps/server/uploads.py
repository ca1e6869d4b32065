"""Files that visitors send: how large, how many in a minute, how much of them at once, and how long they lie there."""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from apps.server.paths import EXPORTS
from apps.server.rates import Rates
from apps.server.settings import Settings

FORM = 64 * 2**10
"""Bytes of a request beside the file itself."""
EACH_MINUTE = 12
"""Files that an address may send in a minute where calls are limited."""
TOGETHER = 8
"""So many of the largest files may lie there at once: a file is read and deleted soon after it has come. From half of
them on, who has sent as much as one of them lately is refused: what one address never opens leaves others room."""
LASTING = 15 * 60.0
"""Seconds after which a file that nobody has opened, or an export, is deleted."""


class Uploads:
    """What comes into ``folder`` (None: it is not looked at)."""

    def __init__(self, settings: Settings, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = settings.import_mib * 2**20
        self._folder, self._clock = folder, clock
        self._sent: list[tuple[float, str, int]] = []
        self._rates = Rates(None if settings.calls_per_minute is None else EACH_MINUTE, clock)

    def refused(self, client: str, length: int) -> tuple[int, str] | None:
        """A status and a sentence where ``length`` bytes of ``client`` may not come; None where they may."""
        if not self.most:
            return 403, "Files cannot be opened on this server."
        if length > self.most + FORM:
            return 413, f"The file is larger than {self.most // 2**20} MiB."
        if self._rates.spend(client):
            return 429, "Many files came from your address. Wait a minute."
        if self._folder is not None:
            swept(self._folder)
            lying = held(self._folder)
            if lying > TOGETHER * self.most:
                return 503, "Many files are being opened. Try again in a minute."
            if self._rates.per_minute is not None:
                return self._share(client, length, lying)
        return None

    def _share(self, client: str, length: int, lying: int) -> tuple[int, str] | None:
        """What the address may still send, where files of strangers lie together; of unknown length is the longest."""
        now = self._clock()
        self._sent = [one for one in self._sent if now - one[0] < LASTING]
        own = [(at, size) for at, whose, size in self._sent if whose == client]
        lately = sum(size for at, size in own if now - at < 60)  # some of it is still coming
        if max(lying, lately) > TOGETHER * self.most // 2 and sum(size for _, size in own) >= self.most:
            return 503, "Many files of your address have come, and not all were opened. Try again in some minutes."
        self._sent.append((now, client, length or self.most))
        return None


def dropped(error: BaseException) -> None:
    """Close and delete the files that a broken upload has begun, as the parsers of its traceback know them: Gradio
    and Starlette delete them only where the form itself is at fault, not on a full disk, not when the sender goes."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for file in getattr(frame.f_locals.get("self"), "_files_to_close_on_error", ()):
            with contextlib.suppress(OSError):
                file.close()  # writes what is left, which may fail again
            with contextlib.suppress(OSError):
                if isinstance(file.name, str):  # one that was never named goes when it is closed
                    Path(file.name).unlink(missing_ok=True)


def swept(folder: Path, now: float | None = None) -> None:
    """Delete what has lain in ``folder``, or among its exports, for too long."""
    now = time.time() if now is None else now
    for place in (folder, folder / EXPORTS):
        with contextlib.suppress(OSError):  # another visitor's request has swept it away
            for old in place.iterdir():
                with contextlib.suppress(OSError):
                    if old.name != EXPORTS and now - old.stat().st_mtime > LASTING:
                        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()


def held(folder: Path) -> int:
    """Bytes of all files in ``folder`` and below."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
