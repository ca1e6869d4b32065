"""`workbench inspect`: what it prints is what the library computed, and every mistake is one sentence."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.cli import app
from workbench.inspection.inspection import Inspection

PROMPT = "What is the capital of France?"


def call(*words: object, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Callable[..., Path]) -> Path:
    """Random weights of a shape that neither twin has."""
    return tiny_checkpoint(layers=3, heads=6, kv_heads=2, hidden=48, window=16, theta=5e4, context=512)


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Inspection, Path]:
    """One call that writes both files: its output, the inspection it wrote, and the folder of the files."""
    place = tmp_path_factory.mktemp("written")
    result = call(
        "inspect", "--model", folder, "--prompt", PROMPT, "-n", 12, "--out", place / "x.inspection", "--html",
        place / "x.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result, wb.open(place / "x.inspection"), place


def table(output: str, title: str) -> list[str]:
    """The rows below the heading that starts with ``title``, without its column names."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    end = next(i for i in range(start + 1, len(lines)) if lines[i].endswith("───"))
    return lines[start + 2 : end]


def test_the_tokens_are_those_of_the_inspection(written: tuple[Result, Inspection, Path]) -> None:
    result, found, _ = written
    rows = [line.split() for line in table(result.stdout, "Tokens")]
    assert len(rows) == len(found.steps) == 12
    for row, step in zip(rows, found.steps.itertuples(), strict=True):
        assert row[0] == str(step.position)
        assert f"{math.exp(step.logprob):.3f}" in row
        assert f"{step.rank:,}" in row


def test_the_answer_is_the_reply_of_the_library(written: tuple[Result, Inspection, Path], folder: Path) -> None:
    result, found, _ = written
    run = wb.load(str(folder)).generate([{"role": "user", "content": PROMPT}], wb.Sampling(max_new_tokens=12))
    text = "".join(step.text for step in run)
    assert found.reply == text
    assert text.strip().split()[0] in result.stdout


def test_every_layer_has_its_row(written: tuple[Result, Inspection, Path]) -> None:
    result, found, _ = written
    attention = table(result.stdout, "Attention from position")
    assert [row.split()[0] for row in attention] == ["0", "1", "2"]
    position = len(found.ids) - 2
    assert f"Attention from position {position}," in result.stdout
    for row, layer in zip(attention, found.attention.row(position), strict=True):
        assert f"{layer.mean(0)[position]:.2f}" in row.split()
        # The surest head, outside the first token and itself.
        layer = layer.copy()
        layer[:, [0, position]] = 0
        assert row.rstrip().endswith(f"@{layer.max(0).argmax()} {layer.max():.2f}")
    lens = table(result.stdout, "Logit lens at position")
    assert [row.split()[0] for row in lens] == ["embedding", "1", "2", "3"]
    assert f"{int(found.lens.sel(position=position, layer=3).target_rank):,}" in lens[-1].split()


def test_the_cache_table_counts_what_the_window_dropped(written: tuple[Result, Inspection, Path]) -> None:
    result, found, _ = written
    row = table(result.stdout, "KV cache")[0].split()
    read = len(found.ids) - 1  # the last token was chosen, not read
    kib = 2 * 15 * 2 * 8 * 4 / 1024  # keys and values, 15 positions, 2 heads of 8 numbers, float32
    assert row == ["0-2", f"{kib:.1f}", str(read), "15", str(read - 15), "15"]


def test_both_files_are_there_and_nothing_else(written: tuple[Result, Inspection, Path]) -> None:
    _, found, place = written
    assert sorted(path.name for path in place.iterdir()) == ["x.html", "x.inspection"]
    assert "<html" in (place / "x.html").read_text(encoding="utf-8")
    assert found.attention.row(3).shape == (3, 6, len(found.ids) - 1)  # a file holds any row


def test_show_prints_the_same_without_the_model(written: tuple[Result, Inspection, Path]) -> None:
    result, _, place = written
    shown = call("show", place / "x.inspection")
    assert shown.exit_code == 0
    assert shown.stdout.strip() == "\n".join(
        line for line in result.stdout.splitlines() if not line.startswith("Written")
    )


def test_show_looks_inside_another_position(written: tuple[Result, Inspection, Path]) -> None:
    shown = call("show", written[2] / "x.inspection", "--position", 4)
    assert "Attention from position 4," in shown.stdout


def test_a_prompt_alone_is_read(folder: Path) -> None:
    result = call("inspect", "-m", folder, "-p", "one two three", "--plain", "-n", 0)
    assert result.exit_code == 0, result.output
    assert "<s> ▁one ▁two ▁three" in result.stdout
    assert "Answer" not in result.stdout
    assert "Attention from position 3, ▁three" in result.stdout


def test_a_prompt_comes_from_a_file_or_standard_input(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "question.txt"
    file.write_text("Grüße, wie geht's?\n", encoding="utf-8")
    from_file = call("inspect", "-m", folder, "--prompt-file", file, "-n", 3)
    piped = call("inspect", "-m", folder, "--prompt-file", "-", "-n", 3, stdin="Grüße, wie geht's?\n".encode())
    typed = call("inspect", "-m", folder, "--prompt", "Grüße, wie geht's?", "-n", 3)

    def tokens(result: Result) -> list[str]:
        assert result.exit_code == 0, result.output
        return table(result.stdout, "Tokens")

    assert tokens(from_file) == tokens(piped) == tokens(typed)


def test_a_system_message_is_part_of_the_prompt(folder: Path) -> None:
    result = call("inspect", "-m", folder, "-p", "Hello", "--system", "Be brief.", "-n", 1, "--position", 8)
    with_system = wb.load(str(folder)).encode(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    )
    assert f"{len(with_system)} tokens in the prompt, 1 new" in " ".join(result.stdout.split())


def test_a_light_capture_looks_at_the_last_prompt_token(folder: Path) -> None:
    result = call("inspect", "-m", folder, "-p", PROMPT, "-n", 4, "--capture", "light")
    last = len(wb.load(str(folder)).encode([{"role": "user", "content": PROMPT}])) - 1
    assert f"Attention from position {last}," in result.stdout


def test_a_capture_that_is_too_large_names_the_smaller_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.capture.request.LARGEST_RESULT", 100_000)
    result = call("inspect", "-m", folder, "-p", PROMPT, "-n", 40, "--capture", "full")
    check_sentence(result, "Take --capture rows or light, or a shorter prompt.")


def test_named_heads_are_those_of_the_inspection(written: tuple[Result, Inspection, Path]) -> None:
    result, found, _ = written
    named = found.attention.named_heads()
    rows = [row.split() for row in table(result.stdout, "Heads named")]
    assert {row[0]: int(row[1]) for row in rows} == named["name"].replace("", None).value_counts().to_dict()
    for row in rows:
        layer, head = named.loc[named["name"] == row[0], row[0]].idxmax()
        assert row[2:4][0] == f"{layer}.{head}"


def test_a_long_run_is_announced_with_its_cost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = call("inspect", "-m", folder, "-p", PROMPT, "-n", 2)
    assert "Expected:" not in short.stdout
    monkeypatch.setattr("workbench.cli.inspect.LONG", 5)
    long = call("inspect", "-m", folder, "-p", PROMPT, "-n", 2, "--sample", 2)
    assert long.exit_code == 0, long.output
    assert long.stdout.startswith("Expected: about ")
    assert "x a plain forward" in long.stdout.splitlines()[0]


def test_a_sample_is_asked_for_and_said(folder: Path, tmp_path: Path) -> None:
    result = call(
        "inspect", "-m", folder, "-p", PROMPT * 45, "-n", 0, "--sample", 2, "--out", tmp_path / "x.inspection"
    )
    assert result.exit_code == 0, result.output
    found = wb.open(tmp_path / "x.inspection")
    assert found.provenance["settings"]["capture"]["attention"]["sample"] == 2
    check_sentence(call("inspect", "-m", folder, "-p", PROMPT, "--sample", 3), "sample is 3; expected an even number")


def test_sampling_repeats_with_its_seed(folder: Path) -> None:
    words = ("inspect", "-m", folder, "-p", PROMPT, "-n", 8, "--temperature", 2.0, "--top-k", 50)
    first, again, other = (call(*words, "--seed", seed) for seed in (3, 3, 4))
    answers = [table(result.stdout, "Tokens") for result in (first, again, other)]
    assert answers[0] == answers[1] != answers[2]
    assert "temperature 2, seed 3" in " ".join(first.stdout.split())


def test_nothing_a_terminal_obeys_is_printed(folder: Path) -> None:
    result = call("inspect", "-m", folder, "-p", "\x1b[31mred\x1b]0;title\x07 [bold]x[/bold]", "-n", 2)
    assert result.exit_code == 0, result.output
    assert not [c for c in result.stdout if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no prompt"),
        (["--prompt", "a", "--prompt-file", "b"], "two prompts"),
        (["--prompt", "  \n"], "prompt is empty"),
        (["--prompt-file", "nowhere.txt"], "nowhere.txt"),
        (["--prompt", "a", "--model", "twin-v0.3"], "is not a model known here"),
        (["--prompt", "a", "--model", "./nowhere"], "There is no folder"),
        (["--prompt", "a", "--temperature", "-1"], "temperature is -1"),
        (["--prompt", "a", "--top-p", "0"], "top_p is 0"),
        (["--prompt", "a", "--top-p", "nan"], "top_p is nan"),
        (["--prompt", "a", "--min-p", "2"], "min_p is 2"),
        (["--prompt", "a", "--repetition-penalty", "0"], "repetition_penalty is 0"),
        (["--prompt", "a", "-n", "-3"], "max_new_tokens is -3"),
        (["--prompt", "a", "--stop", ""], "stop string is empty"),
        (["--prompt", "a", "--position", "400", "-n", "2"], "position 400 does not exist"),
        (["--prompt", "a", "--position", "-400", "-n", "2"], "position -400 does not exist"),
        (["--prompt", "word " * 600], "at most"),
        (["--prompt", "a", "--plain", "--system", "b"], "--system with --plain"),
        (["--prompt", "a", "--dtype", "float99"], "float99"),
        (["--prompt", "a", "--quantization", "3bit"], "3bit"),
        (["--prompt", "a", "--device-map", "{broken"], "--device-map is not JSON"),
        (["--prompt", "a", "--device-map", "tpu"], "tpu"),
        (["--prompt", "a", "--html", "nowhere/x.html"], "no folder nowhere"),
        (["--prompt", "a", "--out", "."], "is a folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], said: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = [] if "--model" in words else ["--model", str(folder)]
    files = [] if {"--html", "--out"} & set(words) else ["--html", "x.html", "--out", "x.inspection"]
    result = call("inspect", *model, *files, *words)
    check_sentence(result, said)
    assert list(tmp_path.iterdir()) == []


def check_sentence(result: Result, said: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("workbench: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 100), "safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (lambda folder: edit(folder / "config.json", model_type="llama", architectures=["LlamaForCausalLM"]), "istral"),
    ],
    ids=["no weights", "no config", "damaged config", "damaged weights", "no tokenizer", "another architecture"],
)
def test_a_bad_checkpoint_is_one_sentence(
    break_it: Callable[[Path], object], said: str, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    break_it(broken)
    check_sentence(call("inspect", "-m", broken, "-p", "a", "--out", tmp_path / "x.inspection"), said)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("size", [0, 1, 9, 1000, -1])
def test_a_truncated_inspection_is_one_sentence(
    size: int, written: tuple[Result, Inspection, Path], tmp_path: Path
) -> None:
    whole = (written[2] / "x.inspection").read_bytes()
    file = tmp_path / "cut.inspection"
    file.write_bytes(whole[:size])
    check_sentence(call("show", file, "--html", tmp_path / "x.html"), "cut.inspection")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.inspection"]


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    check_sentence(call("show", tmp_path / "none.inspection"), "there is no file")


def test_a_failed_write_leaves_the_old_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.inspection"
    target.write_text("old")

    def fail(self: Inspection, path: Path) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Inspection, "save", fail)
    result = call("inspect", "-m", folder, "-p", "a", "-n", 1, "--out", target)
    check_sentence(result, "No space left on device")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_cache_policy_is_said_and_kept(folder: Path, tmp_path: Path) -> None:
    asked = ("inspect", "--model", folder, "--prompt", PROMPT, "-n", 4, "--window", "none", "--cache")
    result = call(*asked, "received=8", "--out", tmp_path / "x.inspection", "--html", tmp_path / "x.html")
    assert result.exit_code == 0, result.output
    assert "cache received=8" in result.stdout
    found = wb.open(tmp_path / "x.inspection")
    assert found.kv_cache["kept"].sum("position").max() == 8 + 3
    assert found.attention.rows.sizes["query"] == len(found.ids) - 1, "a report shows every token's row"
    assert '"cache": "received=8"' in json.dumps(found.provenance)
    bad = call(*asked, "received")
    assert bad.exit_code == 2
    assert "received has no budget; expected such as received=256" in " ".join(bad.output.split())
