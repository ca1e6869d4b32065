"""What nobody honest sends: values, bodies, requests, files and addresses, as hypothesis draws them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import Any

from hypothesis import strategies as st

from workbench.inspection.storage import KEY

TEXTS = (
    "", " ", "\0", "../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/", "a\ud800b",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'; DROP TABLE runs; --", "{{7*7}} ${7*7}", "\r\nX: y",
    "\u202e\u2066evil", "x" * 20_000, "[INST] </s> <s>", "NaN", "-1", "9" * 400, "twin-v0.1",
    "mistralai/Mistral-7B-v0.1",
    "__class__", "__proto__", "%2e%2e%2f", "recorded", "own", "none",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, -(10**400), 0.5, -0.0, 1e-300, 1e308, float("nan"),
    float("inf"), -float("inf"),
)  # fmt: skip


def deep(levels: int, key: str = "") -> Any:
    """Lists in lists, or objects in objects."""
    found: Any = 1
    for _ in range(levels):
        found = {key: found} if key else [found]
    return found


LARGE = (deep(60), deep(60, "a"), list(range(2000)), {str(i): i for i in range(2000)}, ["x"] * 2000, [[]] * 500)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.text(max_size=8)
values = st.one_of(
    scalars, st.sampled_from(LARGE), st.lists(scalars, max_size=4),
    st.dictionaries(st.sampled_from(["role", "content", "model", "", "x"]), scalars, max_size=3),
)  # fmt: skip


def number(digits: int = 10**5) -> bytes:
    return b"1" * digits


BODIES = (
    b"", b"null", b"[]", b"{}", b"\xff\xfe", b"NaN", b"{", b'{"input_data": ', b"[" * 100_000, b'{"a":' * 50_000,
    b'{"data": [], "data": {}, "fn_index": 1, "fn_index": -1}', b'{"data": ' + number() + b"}", b"\x00" * 1000,
    b'"' + b"x" * 2_000_000 + b'"', b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b"}",
    b'{"input_data": {"input_string": [{"role": "user", "content": "\\ud800"}]}}',
    b'{"input_data": {"input_string": "x", "parameters": {"temperature": 1e999, "max_new_tokens": 1e5}}}',
    b'{"input_data": {"input_string": ' + b"[" * 900 + b"]" * 900 + b"}}",
    b'{"data": "x", "component_id": "x", "fn_name": {}, "session_hash": []}',
    b'{"data": null, "component_id": 99999, "fn_name": "act", "session_hash": "x"}',
)  # fmt: skip
bodies = st.sampled_from(BODIES) | st.binary(max_size=60) | values.map(lambda one: json.dumps(one).encode())


@st.composite
def changed(draw: st.DrawFn, honest: dict[str, Any]) -> dict[str, Any]:
    """An honest request of which up to three fields are something else, or missing."""
    found = dict(honest)
    for name in draw(st.lists(st.sampled_from([*honest, "surplus"]), min_size=1, max_size=3)):
        if draw(st.booleans()) or draw(st.booleans()):
            found[name] = draw(values)
        else:
            found.pop(name, None)
    return found


score_bodies = st.one_of(bodies, st.builds(
    lambda said, parameters, rest: json.dumps({"input_data": {"input_string": said, "parameters": parameters,
    **rest}}).encode(),
    values | st.just([{"role": "user", "content": "Hi"}]),
    changed({"temperature": 1.0, "top_p": 1.0, "do_sample": False, "max_new_tokens": 2, "return_full_text": False,
    "seed": 0}),
    st.just({}) | st.just({"extra": 1}),
))  # fmt: skip


def tensors(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class _Harm:
    """A pickle that would say so if it were read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was read')",))


def _zipped() -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../evil.py", b"\0" * 10**7)
    return found.getvalue()


def _record(text: str) -> dict[str, Any]:
    return {"__metadata__": {KEY: text}}


def _array(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FILES = (
    b"", b"\0", b"PK\x03\x04", _zipped(), pickle.dumps(_Harm()), b"\x80\x04" + b"." * 64, b"{" * 10_000, b"\xff" * 4096,
    struct.pack("<Q", 2**63), struct.pack("<Q", 2**32) + b"{}", tensors(b"{}"), tensors(b"[" * 10_000),
    tensors({"ids": _array([2**40], 0, 2**42)}), tensors({"ids": _array([2**62, 4], 0, 8)}, b"\0" * 8),
    tensors({"ids": _array([-1], 0, 8)}, b"\0" * 8), tensors({"ids": _array([2], 8, 0)}, b"\0" * 8),
    tensors({f"a{i}": _array([0], 0, 0) for i in range(20_000)}), tensors(_record("[" * 20_000)),
    tensors(_record("{}")),
    tensors(_record('{"schema_version": 1' + "0" * 5000 + "}")), tensors(_record('{"schema_version": "\\ud800"}')),
    tensors({**_record("{}"), "<script>alert(1)</script>": _array([0], 0, 0)}),
)  # fmt: skip
NAMES = ("a.inspection", "<img src=x onerror=alert(1)>.inspection", "../../evil.inspection", "..", "x" * 300,
"a\nb\t.pt",
         "con.pkl", "名前.inspection", "\u202egnp.exe", "a;b&c|d$(id).inspection", "%2e%2e%2fx")  # fmt: skip


@st.composite
def files(draw: st.DrawFn, honest: bytes) -> bytes:
    """Any file: one of `FILES`, bytes, or an honest inspection cut short, or with bytes changed."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from(FILES))
    if kind == 1:
        return draw(st.binary(max_size=200))
    if kind == 2:
        return honest[: draw(st.integers(0, len(honest) - 1))]
    changed = bytearray(honest)
    for _ in range(draw(st.integers(1, 6))):
        changed[draw(st.integers(0, min(len(changed), 6000) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


ADDRESSES = (
    "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd", "/gradio_api/file=file:///etc/passwd",
    "/gradio_api/file=http://127.0.0.1:1/x", "/gradio_api/file=%00", "/gradio_api/file=pyproject.toml",
    "/file=/etc/passwd",
    "/gradio_api/file/%2e%2e/x", "/gradio_api/proxy=http://127.0.0.1:1/", "/gradio_api/proxy=https://huggingface.co/",
    "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/routes.py", "/assets/..%2f..%2froutes.py", "/svelte/../x",
    "/gradio_api/custom_component/x/client/component/../../x", "/gradio_api/deep_link?session_hash=hostile",
    "/monitoring", "/monitoring/summary", "/monitoring/x", "/docs", "/openapi.json", "/redoc",
    "/gradio_api/openapi.json",
    "/gradio_api/dev/reload", "/gradio_api/vibe-code", "/gradio_api/run-history/records",
    "/gradio_api/profiling/traces",
    "/gradio_api/queue/data?session_hash=nobody", "/gradio_api/queue/data", "/gradio_api/call/generate/nobody",
    "/gradio_api/stream/a/b/c/playlist.m3u8", "/gradio_api/token", "/gradio_api/user", "/pwa_icon/99999",
    "/.git/config",
    "/gradio_api/upload_progress", "/%ff", "//etc/passwd", "/gradio_api/info?all_endpoints=1", "/config?page=nowhere",
    "/gradio_api/info?page=nowhere", "/login", "/logout",
)  # fmt: skip
_KEYS = ("run", "with", "token", "panel", "layer", "head", "page", "deep_link", "__theme", "model", "session_hash")
queries = st.dictionaries(
    st.sampled_from(_KEYS),
    st.sampled_from(TEXTS).map(lambda one: one.encode("utf-8", "replace").decode()[:500]),
    max_size=3,
)
PAGES = ("/", "/context", "/compare", "/runs", "/config", "/score", "/metrics")
POSTS = (
    "queue/join", "run/predict", "run/ask", "run/stop", "api/generate", "call/generate", "call/compare", "call/ask",
    "call/v2/generate", "call/v2/nothing", "cancel", "reset", "component_server", "upload", "process_recording",
    "vibe-edit", "vibe-code", "stream/x", "run-history/connect", "/login", "/metrics", "/",
)  # fmt: skip
