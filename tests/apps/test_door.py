"""What stands before every request: password, sizes, rates, the operator's page, and whose address it is."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from apps.server.door import CLIENT, MOST_BODY, Door, address, loopback
from apps.server.metrics import Metrics
from apps.server.settings import Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def said(request: Request) -> Response:
    return JSONResponse({"client": CLIENT.get(), "bytes": len(await request.body())})


def served(metrics: Metrics | None = None, host: str = "127.0.0.1", clock: Any = None, **settings: Any) -> TestClient:
    paths = ("/", "/gradio_api/component_server", "/gradio_api/upload", "/gradio_api/startup-events", "/score")
    known = metrics or Metrics()
    door = Middleware(Door, settings=Settings(**settings), metrics=known, clock=clock or Clock())
    routes = [Route(path, said, methods=["GET", "POST"]) for path in paths]
    return TestClient(Starlette(routes=routes, middleware=[door]), client=(host, 5))


def test_the_address_is_known_to_what_is_called() -> None:
    assert served(host="10.1.2.3").get("/").json()["client"] == "10.1.2.3"
    forged = {"X-Forwarded-For": "1.1.1.1, 2.2.2.2"}
    for proxies, client in ((0, "10.1.2.3"), (1, "2.2.2.2"), (2, "1.1.1.1"), (3, "10.1.2.3")):
        assert served(host="10.1.2.3", proxies=proxies).get("/", headers=forged).json()["client"] == client
    assert len(address("", {"x-forwarded-for": "9" * 10_000}, 1)) == 64
    assert loopback("::1") and not loopback("10.0.0.1") and not loopback("testclient")


def test_a_password_stands_before_everything_but_gradios_own_start() -> None:
    client = served(password="sésame:x")
    assert client.get("/").status_code == 401
    assert client.post("/score").headers["WWW-Authenticate"].startswith("Basic")
    assert client.get("/gradio_api/startup-events").status_code == 200
    assert client.get("/", auth=("anybody", "sésame:x")).status_code == 200
    for auth in (("anybody", "sesame"), ("", "")):
        assert client.get("/", auth=auth).status_code == 401
    for header in ("Basic %%%", "Bearer x", "Basic", ""):
        assert client.get("/", headers={"Authorization": header}).status_code == 401
    answers = [client.get("/", auth=("a", str(i))).status_code for i in range(40)]
    assert answers[-1] == 429, "nobody can try them all"


def test_what_is_too_large_is_not_read() -> None:
    metrics = Metrics()
    client = served(metrics)
    assert client.post("/score", content=b"x" * 100).json()["bytes"] == 100
    answer = client.post("/score", content=b"x", headers={"Content-Length": str(MOST_BODY + 1)})
    assert (answer.status_code, "larger than" in answer.json()["detail"]) == (413, True)
    assert client.post("/gradio_api/upload", content=b"x" * (MOST_BODY + 1)).status_code == 200  # has its own limit
    assert metrics.refusals() == {"body": 1}

    def parts() -> Any:  # whose length no header tells
        for _ in range(MOST_BODY // 2**20 + 2):
            yield b"x" * 2**20

    answer = client.post("/score", content=parts())
    assert (answer.status_code, "longer than it may be" in answer.json()["detail"]) == (413, True)


def test_calls_are_counted_and_limited_by_address() -> None:
    clock, metrics = Clock(), Metrics()
    client = served(metrics, clock=clock, calls_per_minute=30)
    for _ in range(30):
        assert client.post("/score").status_code == 200
    refused = client.post("/score")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert "Try again in 2 s" in client.post("/gradio_api/component_server").json()["error"]
    assert client.get("/").status_code == 200, "a page is only looked at"
    clock.now = 60
    assert client.post("/gradio_api/component_server").status_code == 200
    assert metrics.refusals() == {"calls": 2}
    assert 'workbench_requests_total{kind="call"} 1' in metrics.text()


def test_the_metrics_are_the_operators() -> None:
    def status(client: TestClient, **headers: str) -> int:
        return client.get("/metrics", headers=headers).status_code

    assert status(served()) == 200
    assert "workbench_resident_bytes" in served().get("/metrics").text
    assert status(served(host="10.0.0.1")) == 403
    assert status(served(), **{"X-Forwarded-For": "127.0.0.1"}) == 403, "a proxy on this machine is not its operator"
    known = served(host="10.0.0.1", metrics_token="abc", password="def")
    assert status(known, Authorization="Bearer abc") == 200
    assert status(known, Authorization="Bearer abd") == 403
    assert status(known) == 403
