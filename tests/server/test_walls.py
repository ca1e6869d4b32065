"""What visitors cannot do: name models or paths, reach files, see or stop what is others', fill memory or disk, have a
pickle read, find more than the named endpoints; a test for each. Markup in the page: tests/browser/test_hostile.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from apps.server.door import FRAMES
from apps.server.paths import Paths
from tests.server.honest import requests
from tests.server.hostile import FILES, NAMES
from tests.server.served import PATIENCE, Served, serving, tab

ENDPOINTS = {"/generate", "/inspect_tokens", "/compare"}
PLACES = ("/etc/passwd", "../../etc", "~/.ssh", "file:///etc/passwd", "http://127.0.0.1:1/",
"mistralai/Mistral-7B-Instruct-v0.2",
          "v0.2", "twin-v0.1", "C:\\Windows", "nobody/nothing")  # fmt: skip
NAMED = (
    "model",
    "models",
    "against",
    "judge",
    "suite",
    "task",
    "tasks",
    "study",
    "run",
    "runs",
    "path",
    "policies",
    "base",
)
"""Fields of requests that name something."""
MINE = ("memory_plan", "grid_shown", "grid_effective", "grid_questions", "grid_file", "grid_why")
"""Answered from shapes, or from what was recorded: a name of those may be one of the places."""


def until(found: Callable[[], Any]) -> Any:
    """What ``found`` gives as soon as it gives something."""
    over = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < over
        time.sleep(0.02)
    return result


@pytest.fixture
def loaded(served: Served, models: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that are loaded from now on; the server's own are there, which it may still have been loading."""
    for name in models:
        served.studio.shelf.get(name)
    names: list[str] = []
    load = wb.load
    monkeypatch.setattr(wb, "load", lambda name, **more: (names.append(name), load(name, **more))[1])
    return names


def test_only_the_named_endpoints_are_public(served: Served) -> None:
    found = served.client.get("/gradio_api/info").json()
    assert (found["named_endpoints"].keys(), found["unnamed_endpoints"]) == (ENDPOINTS, {})
    poisoned = served.client.get("/gradio_api/info", headers={"X-Forwarded-Host": "evil.example"})
    assert "evil.example" not in poisoned.text, "what is told all visitors is not of one of them"
    closed = ("monitoring/summary", "docs", "openapi.json", "gradio_api/deep_link?session_hash=x", "gradio_api/token",
              "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/file=http://127.0.0.1:1/", "gradio_api/dev/reload",
              "gradio_api/custom_component/a/client/b/c", "gradio_api/runs", "pwa_icon")  # fmt: skip
    for path in closed:
        assert served.client.get(f"/{path}").status_code == 404, path
    for path in ("process_recording", "vibe-edit", "vibe-code", "stream/x", "stream/x/close", "run-history/connect"):
        assert served.post(path, {}).status_code == 404, path


def test_paths_that_a_later_gradio_adds_are_closed() -> None:
    paths = Paths(("", "runs"))
    for good in ("/", "/runs", "/runs/", "/config", "/assets/a.js", "/gradio_api/info", "/gradio_api/heartbeat/abc"):
        assert paths.known("GET", good), good
    for bad in ("/gradio_api/new", "/gradio_api/", "/runs/x", "/assets/", "/gradio_api/heartbeat/a/b", "/metrics/x"):
        assert not paths.known("GET", bad), bad
    assert paths.known("POST", "/gradio_api/run/predict") and not paths.known("POST", "/gradio_api/run/a/b")
    assert not paths.known("PUT", "/") and not paths.known("TRACE", "/score")


def test_nobody_names_a_model_or_a_path(served: Served, models: list[str], loaded: list[str]) -> None:
    """Every field that names something, with everything that is not on the list: a sentence, and nothing is loaded."""
    honest = requests(*models)
    tried = 0
    for name, request in honest.items():
        for field in {*request} & {*NAMED}:
            for place in PLACES if name not in MINE else PLACES[:5]:
                if name == "act":
                    request = {**request, "kind": "choose", "version": 0}
                value = [place] if isinstance(request[field], list) else place
                changed = {**request, field: value, "tab": (owner := tab()), "key": owner}
                changed |= {"text": ""} if field == "suite" else {}
                if field == "against" and place == "twin-v0.1":
                    continue  # offered
                found = served.sound(served.call(name, changed)).json()
                assert "error" in found, (name, field, place, found)
                tried += 1
    for place in PLACES:
        asked = served.client.post("/score", params={"model": place}, json={"input_data": {"input_string": ["x"]}})
        assert asked.status_code == 422
        for endpoint in ("generate", "inspect_tokens"):
            number = next(number for number, known in served.events if known == endpoint)
            said = [[{"role": "user", "content": "x"}], place, 2, 0.0, 1.0, 0, False][
                : 7 if endpoint == "generate" else 2
            ]
            told = served.event(number, said)[-1]
            assert "There is no model" in str(told), told
    assert loaded == []
    assert tried > 150


def test_nobody_reaches_a_file(served: Served, models: list[str]) -> None:
    owner = tab()
    run = kept(served, models[0], owner)
    exports = {
        kind: served.call("export", {"tab": owner, "run": run, "format": kind}).json() for kind in ("html", "py")
    }
    for found in exports.values():
        answer = served.client.get(f"/gradio_api/file={found['path']}")
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"].startswith("attachment"), "no page of theirs runs as one of ours"
        assert len(Path(found["path"]).parent.name) > 16, "unguessable"
    (served.folder / "other").mkdir()
    secret = served.folder / "other" / "secret.txt"
    secret.write_text("secret")
    (served.folder / "exports" / "out").symlink_to(secret)
    inside = f"{served.folder}/exports"
    for path in (str(secret), f"{inside}/out", f"{inside}/../other/secret.txt", f"{inside}/%2e%2e/other/secret.txt",
    inside,
                 "pyproject.toml", str(Path.cwd() / "pyproject.toml"), "/etc/passwd", f"{inside}/\0",
                 wb.__file__):  # fmt: skip
        for way in ("file=", "file/"):
            answer = served.client.get(f"/gradio_api/{way}{path}".replace("\0", "%00"))
            assert answer.status_code in (403, 404), path
    for path in (
        "/etc/passwd",
        f"{inside}/../../other/secret.txt",
        exports["py"]["path"],
        str(served.folder),
        wb.__file__,
    ):
        assert "No file has arrived" in served.call("open", {"tab": tab(), "path": path}).json()["error"]
    assert secret.exists(), "and nothing of it is deleted"
    secret.unlink()
    secret.parent.rmdir()
    (served.folder / "exports" / "out").unlink()


def kept(served: Served, name: str, owner: str) -> str:
    """A run of ``owner``'s."""
    run = served.studio.shelf.get(name).generate("Hi", wb.Sampling(max_new_tokens=2))
    for _ in run:
        pass
    return served.studio.runs.add(run.inspection, owner)


def test_nobody_sees_what_is_others(served: Served, models: list[str]) -> None:
    """Runs, jobs, grids, answers and votes of another tab, asked for by their very ids: the same as what never was."""
    one, two = tab(), tab()
    run = kept(served, models[0], one)
    honest = requests(*models)
    started = {}
    for name in ("grid_start", "behaviour_start"):
        job = served.call(name, {**honest[name], "tab": one}).json()["job"]
        started[name] = until(lambda job=job: ended(served, one, job))
        for other in (two, "", None, one[:-1]):
            assert "no longer known" in served.call("job_status", {"tab": other, "job": job}).json()["error"]
    study, answers = started["grid_start"]["result"]["study"], started["behaviour_start"]["result"]["run"]
    asked: list[tuple[str, dict[str, Any]]] = [
        *(("answer", {"run": run, "kind": kind, "token": 2}) for kind in ("open", "next")), ("answer", {"run": run,
        "kind": "page", "panel": "attention", "token": 2, "layer": 0, "head": 0}),
        ("difference", {"run": run, "other": run, "part": "open"}), ("remove", {"run": run}),
        *(("export", {"run": run, "format": kind}) for kind in ("inspection", "html", "py", "ipynb")),
        ("grid_shown", {"study": study}), ("grid_effective", {"study": study, "threshold": 0.5}),
        ("grid_file", {"study": study, "kind": "jsonl"}), ("grid_questions", {"study": study, "task": "needle",
        "length": 64, "depth": 0.5}),
        ("votes_ask", {"run": answers}), ("votes_result", {"run": answers}), ("votes_give", {"run": answers,
        "item": "a", "sample": 0, "vote": "left"}),
        ("votes_judge", {"run": answers, "judge": models[0]}),
    ]  # fmt: skip
    for other in (two, "", None, [one], one + "x"):
        for name, request in asked:
            found = served.call(name, {**request, "tab": other}).json()
            nothing = {key: "nobody" if key in ("run", "study", "other") else value for key, value in request.items()}
            assert "error" in found, (name, other, found)
            assert found == served.call(name, {**nothing, "tab": other}).json(), "whether there is one is not told"
        assert served.call("listed", {"tab": other}).json()["runs"] == []
    for name, request in asked[:3] + asked[5:12]:
        if name != "remove":
            assert "error" not in served.call(name, {**request, "tab": one}).json(), name
    assert served.call("grid_known", {"tab": one}).json()["study"] == study
    assert served.call("grid_known", {"tab": two}).json()["study"] != study
    served.studio.runs.forget(one)


def ended(served: Served, owner: str, job: str) -> dict[str, Any] | None:
    found = served.call("job_status", {"tab": owner, "job": job}).json()
    assert found["state"] != "failed", found
    return found if found["state"] == "done" else None


def test_nobody_stops_what_is_others(served: Served, models: list[str]) -> None:
    """Stop, leave, cancel and halt with every id but the other's secret ones, while the other's reply is written."""
    one, two = tab(), tab()
    numbers = {name: number for number, name in served.events}
    joined = served.post(
        "queue/join", {"data": [one, "Go on", 200, 0, 1, 0, 1, 0], "fn_index": numbers["ask"], "session_hash": "of-one"}
    )
    assert joined.status_code == 200
    session = until(lambda: served.studio.sessions._open.get(one))
    until(lambda: session.busy or session.columns[models[0]].reply)
    for key in (two, one[:-1] + ("A" if one[-1] != "A" else "B"), "", one.lower() + "x"):
        served.post("run/stop", {"data": [key], "fn_index": numbers["stop"], "session_hash": "of-two"})
        served.post("run/clear", {"data": [key], "fn_index": numbers["clear"], "session_hash": "of-two"})
    served.post("run/leave", {"data": [], "fn_index": numbers["leave"], "session_hash": "of-two"})
    served.post("cancel", {"session_hash": "of-two", "fn_index": numbers["ask"], "event_id": "0" * 32})
    served.client.get("/gradio_api/queue/data", params={"session_hash": "of-two"})
    until(lambda: not session.busy)
    reply = session.columns[models[0]].reply
    assert reply is not None and reply.finish != "stopped"
    assert reply.tokens == 200 or reply.finish == "eos"


@pytest.fixture(scope="module")
def strict(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One model, no files, three requests a minute."""
    folder = tmp_path_factory.mktemp("strict")
    with serving(models[:1], folder, import_mib=0, requests_per_minute=3, calls_per_minute=600) as found:
        yield found


def test_rates_hold_for_the_public_endpoints_together(strict: Served) -> None:
    for _ in range(3):
        strict.score()
    said = {"input_data": {"input_string": ["x"], "parameters": {"max_new_tokens": 2}}}
    refused = strict.post("/score", said)
    assert (refused.status_code, "in a minute" in refused.text, refused.headers["Retry-After"]) == (503, True, "10")
    for number, name in strict.events:
        if f"/{name}" in ENDPOINTS - {"/compare"}:
            values = [[{"role": "user", "content": "x"}], "", 2, 0.0, 1.0, 0, False][: 7 if name == "generate" else 2]
            told = strict.event(number, values)[-1]
            assert told["success"] is False and "in a minute" in told["output"]["error"]


def test_without_files_none_comes(strict: Served) -> None:
    sent = strict.client.post("/gradio_api/upload", files={"files": ("a.inspection", b"x")})
    assert (sent.status_code, "cannot be opened" in sent.text) == (403, True)
    assert strict.call("listed", {"tab": tab()}).json()["largest"] == 0, "the page hides its button"
    assert not any(path.is_file() for path in strict.folder.rglob("*"))


def test_headers_stand_on_every_answer(served: Served) -> None:
    for path in ("/", "/runs", "/nowhere", "/config", "/gradio_api/info", "/gradio_api/file=/etc/passwd"):
        found = served.client.get(path).headers
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Referrer-Policy"] == "same-origin"
        assert found["Content-Security-Policy"] == FRAMES
        assert "X-Frame-Options" not in found, "the Hub shows a Space in a frame"
    assert "https://huggingface.co" in FRAMES and "*" not in FRAMES.split()


def test_files_are_bounded_before_they_are_read(served: Served) -> None:
    for content in FILES:
        for name in NAMES[:2]:
            sent = served.client.post("/gradio_api/upload", files={"files": (name, content)})
            for path in sent.json() if sent.status_code == 200 else []:
                error = served.call("open", {"tab": tab(), "path": path}).json()["error"]
                assert len(error) < 400 and "\ud800" not in error
