"""POST /score and the endpoints for gradio_client: the same replies as the library's, and sentences for bad bodies."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import workbench as wb
from apps.server.admission import Admission, Visitor
from apps.server.settings import Settings
from apps.studio.endpoints import caller
from apps.studio.jobs import Jobs
from apps.studio.score import GONE, Score
from apps.studio.score_body import MOST_BYTES, MOST_CONVERSATIONS, MOST_NEW_TOKENS
from apps.studio.shelf import Shelf
from tests.threads import awaited
from workbench.chat.guardrails import SAFE_PROMPT

USER = {"role": "user", "content": "What is so great about #1?"}
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, USER]
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def score(shelf: Shelf) -> Score:
    return Score(shelf, Jobs())


@pytest.fixture(scope="module")
def client(score: Score) -> TestClient:
    return TestClient(Starlette(routes=[score.route]))


def body(said: Any, **parameters: Any) -> dict[str, Any]:
    return {"input_data": {"input_string": said, "parameters": {"max_new_tokens": 5} | parameters}}


def direct(shelf: Shelf, place: int, prompt: Any, **sampling: Any) -> wb.Run:
    run = shelf.get(shelf.names[place]).generate(prompt, wb.Sampling(**{"max_new_tokens": 5} | sampling))
    for _ in run:
        pass
    return run


def test_one_conversation(client: TestClient, shelf: Shelf) -> None:
    answer = client.post("/score", json=body(TALK))
    assert (answer.status_code, answer.json()) == (200, [{"0": direct(shelf, 1, TALK).text}])
    other = client.post("/score", params={"model": shelf.names[0]}, json=body(TALK))
    assert other.json() == [{"0": direct(shelf, 0, TALK).text}]
    assert client.post("/score", json={"input_data": {"input_string": TALK}}).status_code == 200


def test_several_conversations_and_texts(client: TestClient, shelf: Shelf) -> None:
    talks = [TALK, [USER]]
    replies = [direct(shelf, 1, talk).text for talk in talks]
    assert client.post("/score", json=body(talks)).json() == [dict(zip("01", replies, strict=True))]
    texts = ["Once upon a time", "The sea"]
    expected = [{"0": direct(shelf, 1, text).text} for text in texts]
    assert client.post("/score", json=body(texts)).json() == expected


def test_sampling_and_the_full_text(client: TestClient, shelf: Shelf) -> None:
    drawn = {"temperature": 0.6, "top_p": 0.9, "seed": 3}
    run = direct(shelf, 1, [USER], **drawn)
    assert client.post("/score", json=body([USER], do_sample=True, **drawn)).json() == [{"0": run.text}]
    greedy = direct(shelf, 1, [USER])
    assert client.post("/score", json=body([USER], do_sample=False, **drawn)).json() == [{"0": greedy.text}]
    whole = client.post("/score", json=body([USER], return_full_text=True)).json()
    assert whole == [{"0": greedy.prompt.text + greedy.text}]


BAD = [
    ({}, "input_data"),
    ({"input_data": {}}, "input_data.input_string"),
    (body([]), "input_data.input_string"),
    (body("Hi"), "input_data.input_string"),
    (body([{"role": "user"}]), "input_data.input_string.0.content"),
    (body([{"role": "robot", "content": "Hi"}]), "input_data.input_string.0.role"),
    (body([{"role": "user", "content": 3}]), "input_data.input_string.0.content"),
    (body([USER, TALK[1]]), "input_data.input_string.1.role"),
    (body([[USER], [TALK[1]]]), "input_data.input_string.1.0.role"),
    (body([[USER], "Hi"]), "input_data.input_string.1"),
    (body(["Hi", ""]), "input_data.input_string.1"),
    (body(["Hi"] * (MOST_CONVERSATIONS + 1)), "input_data.input_string"),
    (body([{"role": "user", "content": "word " * 2100}]), "input_data.input_string"),
    (body(["Hi", "word " * 2100]), "input_data.input_string.1"),
    (body([USER], max_new_tokens=MOST_NEW_TOKENS + 1), "input_data.parameters.max_new_tokens"),
    (body([USER], max_new_tokens=0), "input_data.parameters.max_new_tokens"),
    (body([USER], max_new_tokens="5"), "input_data.parameters.max_new_tokens"),
    (body([USER], temperature=-1), "input_data.parameters.temperature"),
    (body([USER], temperature=1e-9, do_sample=True), "input_data.parameters"),
    (body([USER], top_p=0), "input_data.parameters.top_p"),
    (body([USER], do_sample=1), "input_data.parameters.do_sample"),
    (body([USER], seed=-1), "input_data.parameters.seed"),
    (body([USER], beams=4), "input_data.parameters.beams"),
    (body([USER]) | {"extra": 1}, "extra"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_bad_body_names_the_field(client: TestClient, bad: dict[str, Any], field: str) -> None:
    answer = client.post("/score", json=bad)
    assert answer.status_code == 422
    first = answer.json()["detail"][0]
    assert ".".join(map(str, first["loc"])) == f"body.{field}"
    assert first["msg"].startswith(f"{field}: ")
    assert first["msg"].count("\n") == 0


@pytest.mark.parametrize(("content", "status"), [(b"{", 422), (b"", 422), (b" " * (MOST_BYTES + 1), 413)])
def test_no_json_and_too_much(client: TestClient, content: bytes, status: int) -> None:
    assert client.post("/score", content=content).status_code == status


def test_an_unknown_model_and_a_full_house(client: TestClient, shelf: Shelf) -> None:
    answer = client.post("/score", params={"model": "../etc"}, json=body([USER]))
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "model"])
    assert client.get("/score").status_code == 405
    admission = Admission(Settings(queue_length=0, max_new_tokens=8, max_prompt_tokens=16))
    shared = TestClient(Starlette(routes=[Score(shelf, Jobs(admission=admission)).route]))
    with admission.turn(Visitor("another")):
        full = shared.post("/score", json=body([USER]))
    assert (full.status_code, full.headers["Retry-After"]) == (503, "10")
    for asked, said in ((body([USER], max_new_tokens=9), "at most 8"), (body(["word " * 20]), "at most 16")):
        long = shared.post("/score", json=asked)
        assert long.status_code == 422
        assert said in long.json()["detail"][0]["msg"]


def test_all_calls_of_an_address_are_one_visitors(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are where gradio_client calls: neither the line nor the limit of a visitor counts each as another's."""
    admission = Admission(Settings(per_visitor=1, concurrency=2, proxies=1))
    entered: list[Visitor] = []
    enter = admission.enter
    monkeypatch.setattr(admission, "enter", lambda visitor, *rest: entered.append(visitor) or enter(visitor, *rest))
    shared = TestClient(Starlette(routes=[Score(shelf, Jobs(admission=admission)).route]))

    def asked(client: str) -> Any:
        return shared.post("/score", json=body([USER]), headers={"X-Forwarded-For": client})

    assert [asked(client).status_code for client in ("10.0.0.1", "10.0.0.1", "10.0.0.2")] == [200] * 3
    one, again, other = entered
    assert one == again == caller("10.0.0.1") and {one.key, one.flow}.isdisjoint({other.key, other.flow})
    with admission.turn(caller("10.0.0.1")):  # a call of /generate
        refused = asked("10.0.0.1")
        assert asked("10.0.0.2").status_code == 200
    assert refused.status_code == 503
    assert "A request of yours is running or waiting already" in refused.json()["detail"][0]["msg"]


def test_a_reader_who_leaves_stops_the_reply(shelf: Shelf) -> None:
    jobs = Jobs()
    messages = [{"type": "http.request", "body": json.dumps(body([USER], max_new_tokens=1000)).encode()}]
    left = threading.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        if any(job.state == "running" for job in jobs._jobs.values()):
            left.set()
            return {"type": "http.disconnect"}
        await asyncio.sleep(60)
        return {}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": "/score", "headers": [], "query_string": b"", "root_path": ""}
    awaited(Starlette(routes=[Score(shelf, jobs).route])(scope, receive, send))
    assert left.is_set()
    assert sent[0]["status"] == GONE
    assert next(iter(jobs._jobs.values())).stop.is_set()


@pytest.fixture(scope="module")
def address(names: list[str]) -> Iterator[str]:
    from apps.studio import launch as launching

    made: list[Any] = []
    build = launching.build
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "build", lambda *given: made.append(build(*given)) or made[-1])
        found = launching.launch(names, port=None, browser=False, recorded=[], block=False)
    yield found
    made[0].close(verbose=False)  # this one alone: a browser's tests may have theirs in this process


def test_the_readmes_curl_line(address: str, shelf: Shelf) -> None:
    line = next(one for one in README.replace("\\\n", " ").splitlines() if one.startswith("curl "))
    words = shlex.split(line)
    sent = words[words.index("-d") + 1]
    path = re.sub(r"^https?://[^/]+/", "", next(word for word in words if "/score" in word)).partition("?")[0]
    request = urllib.request.Request(address + path, sent.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    asked = json.loads(sent)["input_data"]
    new = asked["parameters"]["max_new_tokens"]
    assert found == [{"0": direct(shelf, 1, asked["input_string"], max_new_tokens=new).text}]


def test_the_endpoints_of_gradio_client(address: str, shelf: Shelf) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False)
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/generate", "/inspect_tokens", "/compare"}
    found = client.predict([USER], max_new_tokens=5, api_name="/generate")
    assert (found["reply"], found["tokens"]) == ((run := direct(shelf, 1, [USER])).text, len(run.steps))
    safe = client.predict([USER], max_new_tokens=5, safe_prompt=True, api_name="/generate")
    assert safe["reply"] == direct(shelf, 1, [{"role": "system", "content": SAFE_PROMPT}, USER]).text
    tokens = client.predict([USER], model=shelf.names[0], api_name="/inspect_tokens")
    assert tokens["ids"] == list(shelf.get(shelf.names[0]).encode([USER]).ids)
    assert tokens["logprob"][0] is None
    assert all(value <= 0 for value in tokens["logprob"][1:])
    both = client.predict([USER], max_new_tokens=5, api_name="/compare")
    assert both["replies"] == [direct(shelf, place, [USER]).text for place in (0, 1)]
    assert both["parting"]
    with pytest.raises(AppError, match="no model 'nobody'"):
        client.predict([USER], model="nobody", api_name="/generate")
    with pytest.raises(AppError, match="at most 1024"):
        client.predict([USER], max_new_tokens=5000, api_name="/generate")
