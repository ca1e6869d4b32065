"""Bounds of what one address can take: uploads, places in line, answers that nobody reads; and that no pickle is read
anywhere in what is shipped."""

from __future__ import annotations

import ast
import errno
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.server.admission import REPLY, Admission, RefusedError, Visitor
from apps.server.door import CLIENT, address
from apps.server.settings import SHARED, Settings
from apps.server.unread import EVENTS, PAGES, bound
from apps.server.uploads import FORM, LASTING, TOGETHER, Uploads, dropped, swept
from tests.server.served import tab
from tests.threads import awaited

LIMITS = Settings.model_validate(SHARED)


def test_uploads_are_swept_counted_and_few(tmp_path: Path) -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    uploads = Uploads(LIMITS, tmp_path, clock)
    assert uploads.refused("a", uploads.most + FORM + 1) == (413, "The file is larger than 32 MiB.")
    assert [uploads.refused("a", 100) for _ in range(12)] == [None] * 12
    assert uploads.refused("a", 100)[0] == 429  # type: ignore[index]
    assert uploads.refused("b", 100) is None
    full = tmp_path / "h" / "file"
    full.parent.mkdir()
    with full.open("wb") as file:
        file.truncate(TOGETHER * uploads.most + 1)
    assert uploads.refused("b", 100)[0] == 503  # type: ignore[index]
    exports = tmp_path / "exports" / "x"
    exports.mkdir(parents=True)
    old = time.time() - 3600
    for path in (full.parent, exports, exports.parent):
        os.utime(path, (old, old))
    assert uploads.refused("b", 100) is None, "what is old goes"
    assert exports.parent.exists() and not exports.exists()
    swept(tmp_path / "nowhere")


def test_files_that_nobody_opens_leave_strangers_room(tmp_path: Path) -> None:
    clock = SimpleNamespace(now=0.0)
    uploads = Uploads(LIMITS, tmp_path, lambda: clock.now)

    def sends(client: str, number: int, length: int, lands: bool = True) -> bool:
        if uploads.refused(client, length) is not None:
            return False
        if lands:
            with (tmp_path / f"{client} {number}").open("wb") as file:
                file.truncate(uploads.most)
        return True

    taken = [sends("a", number, uploads.most) for number in range(TOGETHER)]
    assert taken == [True] * (TOGETHER // 2 + 1) + [False] * (TOGETHER // 2 - 1)
    assert sends("b", 0, uploads.most), "another address has room"
    assert not sends("b", 1, 100), "for one of them while so many lie there"
    clock.now = LASTING + 1
    for path in tmp_path.iterdir():
        path.unlink()
    coming = [sends("c", number, 0, lands=False) for number in range(TOGETHER)]  # all at once, their length untold
    assert coming.count(True) == TOGETHER // 2 + 1
    clock.now += 61
    assert sends("c", 9, 100, lands=False), "they were opened"
    own = Uploads(Settings(), tmp_path, lambda: clock.now)
    assert all(own.refused("a", own.most) is None for _ in range(20)), "one's own machine"


@pytest.mark.parametrize("size", [1, 100])
def test_a_file_without_a_name_is_dropped_too(size: int) -> None:
    """As Starlette keeps a form's: in memory, and from some size on in a file that no folder lists."""

    class Parser:
        def __init__(self) -> None:
            self._files_to_close_on_error = [tempfile.SpooledTemporaryFile(10)]  # noqa: SIM115  closed where it is dropped

        def parse(self) -> None:
            self._files_to_close_on_error[0].write(b"x" * size)
            raise OSError(errno.ENOSPC, "full")

    parser = Parser()
    with pytest.raises(OSError, match="full") as broken:
        parser.parse()
    dropped(broken.value)
    assert parser._files_to_close_on_error[0].closed


def test_one_address_fills_no_line() -> None:
    admission = Admission(LIMITS.model_copy(update={"requests_per_minute": None}))
    own = [admission.enter(Visitor(tab(), "10.0.0.1"), REPLY) for _ in range(1 + (LIMITS.sessions_per_client or 0))]
    with pytest.raises(RefusedError, match="of your address are waiting"):
        admission.enter(Visitor(tab(), "10.0.0.1"), REPLY)
    assert admission.enter(Visitor(tab(), "10.0.0.2"), REPLY).place <= 2, "a stranger comes soon"
    own[-1].leave()
    admission.enter(Visitor(tab(), "10.0.0.1"), REPLY)


def test_an_address_is_a_household() -> None:
    one, two, far = "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"
    assert address(one, {}, 0) == address(two, {}, 0) != address(far, {}, 0)
    assert address("10.0.0.1", {}, 0) == "10.0.0.1"
    assert address("::1", {"x-forwarded-for": two}, 1) == address(one, {}, 0)


async def _pushed(queue: Any, page: str, client: str) -> Any:
    mark = CLIENT.set(client)
    try:
        return await queue.push(body=SimpleNamespace(session_hash=page), request=None, username=None)
    finally:
        CLIENT.reset(mark)


def test_answers_that_nobody_reads_are_bounded() -> None:
    """Of one page, and of all pages of an address; those of others stay."""
    events: dict[str, Any] = {}
    queue = SimpleNamespace(pending_messages_per_session={}, pending_event_ids_session={}, event_ids_to_events=events)

    async def push(body: Any, request: Any, username: Any) -> Any:
        event = f"e{len(events)}"
        events[event] = SimpleNamespace(alive=True)
        queue.pending_messages_per_session.setdefault(body.session_hash, [])
        queue.pending_event_ids_session.setdefault(body.session_hash, set()).add(event)
        return True, event, "success"

    queue.push = push
    bound(queue, 2)

    async def tried() -> None:
        for _ in range(EVENTS):
            assert (await _pushed(queue, "full", "10.0.0.1"))[0]
        assert (await _pushed(queue, "full", "10.0.0.1"))[2] == "queue_full"
        assert (await _pushed(queue, "other", "10.0.0.2"))[0]
        for i in range(3 * PAGES):
            assert (await _pushed(queue, f"page{i}", "10.0.0.1"))[0]

    awaited(tried())
    assert len(queue.pending_messages_per_session) == 2 * PAGES + 1
    assert {"other", "page11"} < queue.pending_messages_per_session.keys()
    assert sum(not event.alive for event in events.values()) == EVENTS + 3 * PAGES - 2 * PAGES


def test_nothing_reads_a_pickle() -> None:
    """Neither module, nor torch.load, nor NumPy's allow_pickle, anywhere in what is shipped."""
    for file in [path for room in ("apps", "workbench") for path in Path(room).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {
                "pickle",
                "cPickle",
                "dill",
                "joblib",
                "shelve",
                "marshal",
            }, file
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("torch.load", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"), file
                assert not any(
                    word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords
                ), file
