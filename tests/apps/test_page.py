"""The page as Gradio builds it, the recorded exchange it opens with, and that it stays offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

import workbench as wb
from apps.studio.app import TWINS, build
from apps.studio.examples import Example, chips, examples, fact
from apps.studio.page_parts import drawn
from apps.studio.record import MOST_BYTES, record
from apps.studio.recorded import Recorded, opening, read_exchange, recorded_folder
from apps.studio.shelf import Shelf, title
from apps.studio.strip import Strip
from apps.studio.theme import page_css, studio_theme
from workbench.errors import FileFormatError, UnknownModelError


def test_the_page_opens_on_the_recorded_exchange(names: list[str], recorded: Recorded) -> None:
    page = build(names, recorded)
    chat = next(block for block in page.blocks.values() if getattr(block, "elem_id", None) == "wb-chat")
    state = chat.value  # type: ignore[attr-defined]
    assert state["recorded"].startswith("Recorded from checkpoint")
    assert [column["model"] for column in state["columns"]] == names
    assert [column["messages"][0]["text"] for column in state["columns"]] == ["What is the capital of France?"] * 2
    for column, name in zip(state["columns"], names, strict=True):
        assert Strip(**column["strip"]).payload()["ids"] == recorded.runs[name].ids.tolist()
        assert column["run"] == recorded.run_id(name)
    assert state["selection"]["token"] == recorded.runs[names[0]].prompt_length
    json.dumps(state, allow_nan=False)


def test_without_a_recording_it_opens_empty(names: list[str], recorded: Recorded) -> None:
    other = Recorded("t", ({"role": "user", "content": "q"},), {"some other model": recorded.runs[names[0]]})
    for found in (None, other):
        chat = next(b for b in build(names, found).blocks.values() if getattr(b, "elem_id", None) == "wb-chat")
        assert chat.value["recorded"] == ""  # type: ignore[attr-defined]
        assert all(column["messages"] == [] for column in chat.value["columns"])  # type: ignore[attr-defined]


def test_only_the_documented_endpoints_are_public(names: list[str]) -> None:
    public = {function.api_name for function in build(names).fns.values() if function.api_visibility != "private"}
    assert public == {"generate", "inspect_tokens", "compare"}


def test_a_click_is_never_dropped_while_its_last_event_closes(names: list[str]) -> None:
    """Gradio's page drops a second trigger of an event that is open. Only questions may be: their button waits."""
    dropped = [one for one in build(names).fns.values() if one.targets and one.fn and one.trigger_mode == "once"]
    once = {one.api_name for one in dropped} - {"leave"}  # that a tab was closed is told once
    asks = {name for name in once if str(name).startswith(("ask", "example_", "idle_"))}
    assert once == asks, once - asks


def test_one_model_alone(names: list[str]) -> None:
    page = build(names[:1])
    switch = next(block for block in page.blocks.values() if getattr(block, "elem_id", None) == "wb-switch")
    assert not switch.visible  # type: ignore[attr-defined]


def test_models_are_named_well(names: list[str]) -> None:
    with pytest.raises(UnknownModelError):
        build(["no-such-model"])
    for wrong in ([], [*names, names[0]], [names[0], names[0]]):
        with pytest.raises(wb.WorkbenchError):
            Shelf(wrong)
    assert title("mistralai/Mistral-7B-Instruct-v0.2") == "Mistral-7B-Instruct-v0.2"
    assert title("/some/where/") == "where"


def test_nothing_of_the_look_comes_from_another_host() -> None:
    theme = studio_theme()
    assert theme._stylesheets == []
    assert "http" not in page_css()
    assert "url(" not in page_css()


def test_recorded_files_are_small_and_whole(recorded_files: Path, names: list[str], recorded: Recorded) -> None:
    for file in recorded_files.glob("*.inspection"):
        assert file.stat().st_size <= MOST_BYTES + 2**20
    for name in names:
        found = recorded.runs[name]
        assert found.attention.row(2, 0).shape[1] == len(found.ids) - 1  # type: ignore[union-attr]
        assert found.lens.sizes["position"] == len(found.ids) - 1  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["{", "[]", '{"exchanges": []}', '{"exchanges": [{"title": 1}]}', "null"])
def test_a_broken_index_costs_no_page(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(FileFormatError):
        read_exchange(tmp_path)
    assert opening(tmp_path) is None
    assert "Record them again" in capsys.readouterr().out


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path, recorded_files: Path) -> None:
    index = json.loads((recorded_files / "index.json").read_text())
    name = next(iter(index["exchanges"][0]["files"]))
    index["exchanges"][0]["files"][name] = "../../etc/passwd"
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(wb.WorkbenchError):
        read_exchange(tmp_path)


def test_examples_have_labels_and_names_for_files() -> None:
    found = examples()
    assert len({one.id for one in found}) == len(found)
    assert all(one.title and one.question and one.id == one.id.lower() and "/" not in one.id for one in found)
    offered = chips(found)
    assert 1 <= len(offered) <= 3
    assert len({one.kind for one in offered}) == len(offered)
    assert all(len(one.messages) == 1 for one in offered)


def test_examples_that_are_malformed_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompts").mkdir()
    monkeypatch.setenv("WORKBENCH_ASSETS", str(tmp_path))
    assert [one.kind for one in examples()] == ["fact"]
    for text in ("{", "[1]", '[{"id": "x"}]', '{"a": 1}'):
        (tmp_path / "prompts" / "examples.json").write_text(text)
        with pytest.raises(FileFormatError, match=r"examples\.json"):
            examples()


def test_a_prompt_beyond_the_window_that_divides_the_models_is_recorded(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every random model answers differently; only the second prompt is longer than the first model's 24 tokens."""
    long = Example("long", "Long", "recall", ({"role": "user", "content": "one two three " * 12},))
    longer = Example("longer", "Longer", "recall", ({"role": "user", "content": "one two three " * 20},))
    found = read_exchange(record([fact("Hi"), longer, long], tmp_path, names, new_tokens=4).parent)
    assert found is not None
    assert found.title == "Long"
    monkeypatch.setattr("apps.studio.record.MOST_BYTES", 1)
    small = read_exchange(record([long], tmp_path / "small", names, new_tokens=4).parent)
    assert small is not None
    for run in small.runs.values():
        assert run.attention.row(run.prompt_length, 0).shape[0] == 4  # type: ignore[union-attr]
        assert run.nbytes < found.runs[run.model["name"]].nbytes


@pytest.mark.parametrize("name", TWINS)
def test_the_shipped_recording_is_of_the_shipped_twins(name: str) -> None:
    """The page says so. When this fails, the twins have changed: python -m apps.studio.record."""
    found = read_exchange()
    assert found is not None, "record one: python -m apps.studio.record"
    inspection = found.runs[name]
    assert inspection.provenance["weights"] == wb.load(name).weights_hash
    assert len({run.reply for run in found.runs.values()}) == 2, "the twins answer it differently"
    assert (recorded_folder() / "index.json").stat().st_size < 20_000
    assert all(file.stat().st_size <= MOST_BYTES + 2**18 for file in recorded_folder().glob("*.inspection"))


def test_an_answer_is_written_in_the_thread_that_found_it() -> None:
    """Gradio passes a response on as it is; what is no JSON it encodes itself."""
    block = drawn("chat.chat(element)", "wb-x", functions=[echoed])
    called = block.echoed
    answer = called({"pieces": ["</script>", "\u20ac"], "none": None})
    assert isinstance(answer, JSONResponse) and answer.media_type == "application/json"
    assert json.loads(answer.body) == {"pieces": ["</script>", "\u20ac"], "none": None}
    for odd in ({1, 2}, {"nan": float("nan")}):
        assert called(odd) is odd


def echoed(request: object) -> object:
    """A server function that answers with what it was asked."""
    return request
