"""What the operator sees is complete: refusals and faults that no line of requests knows of are counted as well."""

from __future__ import annotations

import errno
import itertools
import json
from typing import Any

import gradio as gr
import pytest

from apps.server.admission import REPLY, Admission, RefusedError
from apps.server.faults import DISK, OTHER, SENTENCES, Faults
from apps.server.metrics import Metrics
from apps.server.settings import Settings
from apps.studio.endpoints import add_endpoints
from apps.studio.page_parts import drawn
from apps.studio.sections import sentences
from apps.studio.shelf import Shelf
from apps.studio.studio import Studio
from workbench.errors import FileFormatError

ONE, OTHER_TAB = "o" * 24, "t" * 24
SAID = [{"role": "user", "content": "Hello"}]


def test_tabs_that_are_not_let_in(names: list[str]) -> None:
    studio = Studio.of(names, None, Settings(sessions=1, sessions_per_client=1))
    studio.sessions.of(ONE, client="10.0.0.1").claim()
    with pytest.raises(RefusedError, match="of your address are writing"):
        studio.sessions.of(OTHER_TAB, client="10.0.0.1")
    assert studio.admission.metrics.refusals() == {"sessions": 1}


@pytest.mark.parametrize("name", ["generate", "compare"])
def test_calls_that_take_too_long_end_within_a_step(name: str, shelf: Shelf) -> None:
    """Of both models, whichever is being asked; what is behind them in line comes."""
    ticks = itertools.count()
    admission = Admission(Settings(reply_seconds=3), clock=lambda: float(next(ticks)))
    with gr.Blocks() as page:
        add_endpoints(shelf, admission)
    call: Any = next(one.fn for one in page.fns.values() if one.api_name == name)
    with pytest.raises(gr.Error, match="Stopped after 3 seconds, the longest a reply may take here"):
        call(SAID, max_new_tokens=1000)
    assert admission.metrics.refusals() == {"seconds": 1}
    assert "tokens_total 0" in admission.metrics.text() or name == "generate"
    assert admission.counts(REPLY) == (0, 0)


def test_what_breaks_beneath_a_click() -> None:
    """A function of the page: a full disk under the library's own sentence, and anything else."""
    faults = Faults(Metrics())

    def kept(request: Any) -> Any:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
        except OSError as error:
            raise FileFormatError("The trials cannot be written", remedy="Choose another place") from error

    def broken(request: Any) -> Any:
        raise KeyError("secret")

    block = drawn("x.x(element)", "wb-x", functions=[sentences(kept), sentences(broken)], faults=faults)
    for name, kind in (("kept", DISK), ("broken", OTHER)):
        answer = getattr(block, name)({})
        assert answer == {"error": SENTENCES[kind]}, json.dumps(answer)
    assert faults._metrics.faults() == {DISK: 1, OTHER: 1}


def test_the_memory_of_a_gpu(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 3 * 2**30)
    shown = Studio.of(names, None, Settings(mode="gpu")).admission.metrics.text()
    assert f"workbench_gpu_bytes {3 * 2**30}\n" in shown, "to the byte"
    assert "gpu_bytes" not in Studio.of(names).admission.metrics.text()
