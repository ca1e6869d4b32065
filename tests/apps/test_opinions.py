"""Votes and feedback: what is kept and what is not, bounds, faults as sentences, two processes, exports, the hub."""

from __future__ import annotations

import csv
import datetime
import inspect
import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import huggingface_hub
import pandas as pd
import pytest
from typer.testing import CliRunner

import apps.server.opinions as module
from apps.server.opinion_hub import HubMirror, opened
from apps.server.opinion_results import BLIND, NAMED, flat, wins
from apps.server.opinions import FILE, NOTE, RATING, VOTE, Opinion, OpinionError, Opinions, read_rows
from apps.server.settings import Settings, SettingsError, read_settings
from tests.behaviour.test_votes import HOSTILE
from workbench.cli import app

TAB, CLIENT = "t" * 32, "203.0.113.7"
LEFT = {"model": "v0.1", "weights": "sha256:1", "switched": "", "sampling": {"seed": 0}, "ids_sha256": "a"}
RIGHT = LEFT | {"model": "v0.2", "weights": "sha256:2", "ids_sha256": "b"}


def vote(choice: str = "left", item: str = "q", blind: bool = False, **more: Any) -> Opinion:
    return Opinion(VOTE, choice, "behaviour" if blind else "chat", blind, item, left=LEFT, right=RIGHT, **more)


def test_what_is_kept_and_that_no_address_is(tmp_path: Path) -> None:
    store = Opinions(tmp_path / "new" / "folder")
    seen: list[dict[str, Any]] = []
    store.mirrors.append(seen.append)
    store.keep(vote(comment=HOSTILE + "'); DROP TABLE opinions; --"), TAB, CLIENT)
    talk = {"left": [{"role": "user", "content": "Grüße 😀 \ud83d"}]}
    store.keep(Opinion(RATING, "down", left=LEFT, said=talk), TAB, CLIENT)
    store.keep(Opinion(NOTE, comment="More colours"), "u" * 32, CLIENT)
    one, two, three = read_rows(store.folder)
    assert (one["choice"], one["blind"], one["left"], one["right"], one["said"]) == ("left", False, LEFT, RIGHT, None)
    assert one["comment"] == HOSTILE + "'); DROP TABLE opinions; --"
    assert two["said"]["left"][0]["content"] == "Grüße 😀 ?"
    assert (three["kind"], three["left"], three["comment"]) == (NOTE, None, "More colours")
    assert one["visitor"] == two["visitor"] != three["visitor"]
    assert [row | {"id": i + 1, "said": None} for i, row in enumerate(seen)] == [one, two | {"said": None}, three]
    for file in store.folder.iterdir():
        data = file.read_bytes()
        assert CLIENT.encode() not in data
        assert TAB.encode() not in data
    with sqlite3.connect(store.path) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    Opinions(store.folder)  # opened again
    assert len(read_rows(store.folder)) == 3


@pytest.mark.parametrize(
    ("opinion", "said"),
    [
        (Opinion("praise"), "expected vote, rating, note"),
        (Opinion(VOTE, "up"), "expected left, right, both, neither"),
        (Opinion(NOTE, comment=" \n"), "Nothing is written"),
        (Opinion(NOTE, comment="ü" * 1001), "2,002 bytes; expected at most 2,000"),
        (Opinion(NOTE, comment="\ud800"), "lone surrogate"),
        (Opinion(RATING, "up", left=LEFT, said={"left": "x" * module.MOST_SAID}), "Send it without the text"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, opinion: Opinion, said: str) -> None:
    store = Opinions(tmp_path)
    with pytest.raises(OpinionError, match=said):
        store.keep(opinion, TAB)
    assert read_rows(tmp_path) == []


def test_rows_are_bounded_by_tab_and_by_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_A_VISITOR", 2)
    monkeypatch.setattr(module, "MOST_A_DAY", 3)
    day = [datetime.datetime(2026, 1, 1, 23, 59, tzinfo=datetime.UTC)]
    store = Opinions(tmp_path, now=lambda: day[0])
    for tab in (TAB, TAB, "u" * 32):
        store.keep(vote(), tab)
    for tab, most in ((TAB, 2), ("v" * 32, 3)):
        with pytest.raises(OpinionError, match=f"{most} opinions were kept today"):
            store.keep(vote(), tab)
    day[0] += datetime.timedelta(minutes=1)
    store.keep(vote(), TAB)
    assert len(read_rows(tmp_path)) == 4


def test_an_address_that_floods_is_slowed_down_whatever_its_tabs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_A_MINUTE", 2)
    store = Opinions(tmp_path)
    for tab in "ab":
        store.keep(vote(), tab * 32, CLIENT)
    with pytest.raises(OpinionError, match=r"at once.*Try again in \d+ s"):
        store.keep(vote(), "c" * 32, CLIENT)
    store.keep(vote(), "c" * 32, "203.0.113.8")


def test_faults_are_sentences_and_lose_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Opinions(tmp_path, patience=0.05)
    store.keep(vote(), TAB)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OpinionError, match=r"locked by another program. The chat goes on.$") as caught:
        store.keep(vote(), TAB)
    other.execute("ROLLBACK")
    other.close()
    assert str(tmp_path) not in str(caught.value), "a visitor is told no path"
    assert str(store.path) in capfd.readouterr().err
    full = Opinions(tmp_path, most_bytes=24 * 4096)
    with pytest.raises(OpinionError, match="is full"):
        full.keep(vote(said={"left": "x" * 100_000}), TAB)
    kept = len(read_rows(tmp_path))
    store.keep(vote(), TAB)  # with room again
    assert len(read_rows(tmp_path)) == kept + 1
    store.path.write_bytes(b"not a database, whatever its name " * 200)
    for name in ("-wal", "-shm"):
        store.path.with_name(FILE + name).unlink(missing_ok=True)
    with pytest.raises(OpinionError, match="no SQLite database"):
        store.keep(vote(), TAB)
    with pytest.raises(OpinionError, match="cannot be read: the file is no SQLite database"):
        read_rows(tmp_path)
    with pytest.raises(OpinionError, match=r"opinions.sqlite: .*no SQLite database.*unset WORKBENCH_OPINIONS"):
        Opinions(tmp_path)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as base:
        base.execute("CREATE TABLE cats (name TEXT)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(OpinionError, match="a database of something else"):
        Opinions(tmp_path)
    with pytest.raises(OpinionError, match="a database of something else"):
        read_rows(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(OpinionError, match="a folder for votes"):
        Opinions(tmp_path / "file")
    with pytest.raises(OpinionError, match="There are no votes"):
        read_rows(tmp_path / "none")


WRITER = """
import sys
from apps.server.opinions import NOTE, Opinion, Opinions
store = Opinions(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for i in range(40):
    store.keep(Opinion(NOTE, comment=f"{sys.argv[2]} {i}"), sys.argv[2] * 32)
"""


def test_two_processes_and_their_threads_write_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    store = Opinions(tmp_path)
    threads = [
        threading.Thread(target=lambda name=name: [store.keep(vote(comment=str(i)), name * 32) for i in range(20)])
        for name in "cd"
    ]
    for one in threads:
        one.start()
    for one in writers:
        one.communicate("go\n", timeout=120)
        assert one.returncode == 0
    for one in threads:
        one.join()
    rows = read_rows(tmp_path)
    assert len(rows) == 120
    assert {row["comment"] for row in rows if row["kind"] == NOTE} == {f"{n} {i}" for n in "ab" for i in range(40)}


def test_wins_count_the_last_vote_and_part_blind_from_named(tmp_path: Path) -> None:
    store = Opinions(tmp_path)
    for choice in ("right", "left"):  # the second thought counts
        store.keep(vote(choice, "1"), TAB)
    store.keep(Opinion(VOTE, "right", item="1", left=RIGHT, right=LEFT), TAB)  # the same pair, turned: v0.1 again
    store.keep(vote("neither", "2"), TAB)
    store.keep(vote("both", "2"), "u" * 32)
    for item in "345":
        store.keep(vote("right", item, blind=True), TAB)
    store.keep(Opinion(VOTE, "left", item="9", left=LEFT, right=LEFT | {"ids_sha256": "c"}), TAB)  # one model: no pair
    window = RIGHT | {"switched": "window 64"}
    store.keep(Opinion(VOTE, "right", item="1", left=LEFT, right=window), TAB)
    found = wins(read_rows(tmp_path))
    assert [one.models for one in found] == [("v0.1", "v0.2"), ("v0.1", "v0.2 · window 64")]
    rows = {(row.model, row.category): row for row in found[0].tallies}
    both = rows[("v0.1", "all")]
    assert (both.votes, both.items, both.wins, both.ties, both.losses) == (6, 5, 1, 1, 3)
    assert (both.decided_low, both.decided_high) == pytest.approx((0.0456, 0.6994), abs=1e-4)  # Wilson of 1 in 4
    assert (rows[("v0.2", BLIND)].wins, rows[("v0.2", BLIND)].votes) == (3, 3)
    assert (rows[("v0.1", NAMED)].wins, rows[("v0.1", NAMED)].ties) == (1, 1)
    assert (found[0].both, found[0].neither, found[0].position.n, found[0].position.first_place) == (1, 1, 3, 0)
    assert "3 of 6 votes were blind" in found[0].sentence
    out = tmp_path / "wins.csv"
    told = CliRunner().invoke(app, ["opinions", "votes", str(tmp_path), "--csv", str(out)])
    assert told.exit_code == 0, told.output
    assert found[0].sentence in told.output
    assert len(pd.read_csv(out)) == sum(len(one.tallies) for one in found)


def test_exports_hold_every_row(tmp_path: Path) -> None:
    store = Opinions(tmp_path)
    store.keep(Opinion(NOTE, comment="=1+1"), TAB)
    store.keep(vote(said={"left": [{"role": "user", "content": "a\u2028b\nc"}]}), TAB)
    store.keep(Opinion(RATING, "up", left=LEFT | {"tokens": 5}), TAB)
    kept = read_rows(tmp_path)
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        told = CliRunner().invoke(app, ["opinions", "export", str(tmp_path), str(tmp_path / name)])
        assert told.exit_code == 0, told.output
        assert "3 rows" in told.output
    lines = (tmp_path / "o.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line) for line in lines] == kept
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert (read[0]["comment"], read[1]["left model"], read[1]["right weights"]) == ("'=1+1", "v0.1", "sha256:2")
    table = pd.read_parquet(tmp_path / "o.parquet")
    assert list(table.columns) == list(flat(kept).columns)
    assert (table["comment"][0], table["left tokens"][2], table["blind"].tolist()) == ("=1+1", 5, [False] * 3)
    assert json.loads(table["left sampling"][1]) == {"seed": 0}
    wrong = CliRunner().invoke(app, ["opinions", "export", str(tmp_path), str(tmp_path / "o.xlsx")])
    assert wrong.exit_code == 2
    assert not (tmp_path / "o.xlsx").exists()
    nothing = CliRunner().invoke(app, ["opinions", "votes", str(tmp_path / "none")])
    assert (nothing.exit_code, nothing.exception is None or isinstance(nothing.exception, SystemExit)) == (2, True)


class Scheduler:
    """In the place of `CommitScheduler`: takes what that takes, and counts."""

    def __init__(self, **given: Any) -> None:
        inspect.signature(huggingface_hub.CommitScheduler).bind(**given)  # TypeError where the real one takes no such
        self.given, self.lock, self.stopped = given, threading.Lock(), False

    def stop(self) -> None:
        self.stopped = True


def test_the_hub_gets_the_same_rows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def make(**given: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            raise ConnectionError("no route, token hf_secret\nsecond line")
        return Scheduler(**given)

    store, mirror = Opinions(tmp_path), HubMirror(tmp_path, "me/opinions", "hf_secret", make)
    store.mirrors.append(mirror.add)
    store.keep(vote(), TAB)  # before the hub has answered
    assert not mirror.connect()
    assert "ConnectionError: no route, token (token)" in mirror.trouble
    assert "hf_secret" not in capfd.readouterr().err
    assert mirror.connect()
    assert mirror.trouble == ""
    assert (asked[1]["repo_id"], asked[1]["repo_type"], asked[1]["private"]) == ("me/opinions", "dataset", True)
    assert asked[1]["folder_path"] == tmp_path / "hub"
    store.keep(vote("right"), TAB)
    with mirror.scheduler.lock:  # while a commit lists the files, nobody writes
        late = threading.Thread(target=store.keep, args=(vote("both"), TAB))
        late.start()
        (file,) = (tmp_path / "hub").glob("*.jsonl")
        assert len(file.read_text(encoding="utf-8").split("\n")) == 3
    late.join()
    written = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row | {"id": i + 1} for i, row in enumerate(written)] == read_rows(tmp_path)
    mirror.end()
    assert mirror.scheduler.stopped
    file.unlink()
    (tmp_path / "hub").rmdir()
    (tmp_path / "hub").write_text("in the way")
    store.keep(vote(), TAB)  # what the hub cannot have is kept all the same
    assert len(read_rows(tmp_path)) == 4
    assert mirror.trouble


def test_a_real_scheduler_commits_the_lines(tmp_path: Path) -> None:
    """huggingface_hub's own class, with an api that stands for the hub."""
    commits: list[dict[str, str]] = []

    class Api:
        def create_repo(self, **given: Any) -> Any:
            inspect.signature(huggingface_hub.HfApi.create_repo).bind(self, **given)
            return huggingface_hub.RepoUrl("https://huggingface.co/datasets/me/opinions")

        def run_as_future(self, function: Any) -> Any:
            return huggingface_hub.HfApi().run_as_future(function)

        def create_commit(self, *, operations: list[Any], **given: Any) -> None:
            commits.append({one.path_in_repo: one.path_or_fileobj.read().decode() for one in operations})

    def make(**given: Any) -> Any:
        return huggingface_hub.CommitScheduler(**given, hf_api=Api())  # type: ignore[arg-type]

    store, mirror = Opinions(tmp_path), HubMirror(tmp_path, "me/opinions", "hf_secret", make)
    store.mirrors.append(mirror.add)
    assert mirror.connect()
    store.keep(vote(), TAB)
    mirror.scheduler.trigger().result(timeout=60)
    ((name, text),) = commits[-1].items()
    assert name.startswith("opinions/opinions-")
    assert json.loads(text)["choice"] == "left"
    mirror.end()


def test_settings_that_do_not_fit_together(tmp_path: Path) -> None:
    assert opened(Settings()) is None
    with pytest.raises(OpinionError, match="WORKBENCH_OPINIONS_REPO is set without a folder"):
        opened(Settings(opinions_repo="me/opinions"))
    with pytest.raises(OpinionError, match="expected WORKBENCH_OPINIONS_TOKEN"):
        opened(Settings(opinions=tmp_path, opinions_repo="me/opinions"))
    with pytest.raises(SettingsError, match="WORKBENCH_OPINIONS_REPO is 'opinions'"):
        read_settings(environ={"WORKBENCH_OPINIONS_REPO": "opinions"})
    found = read_settings(environ={"WORKBENCH_OPINIONS": str(tmp_path), "WORKBENCH_OPINIONS_TOKEN": "hf_secret"})
    assert found.opinions == tmp_path
    assert "hf_secret" not in repr(found)
