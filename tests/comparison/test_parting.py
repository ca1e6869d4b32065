"""The sentence of where two answers part, over every way in which they can."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import workbench as wb
from tests.comparison.conftest import QUESTION, answered
from workbench.comparison.parting import Chosen, _sentence, probability
from workbench.inspection.inspection import Inspection


def retold(
    run: wb.Inspection, texts: list[str], ids: list[int], finish: str = "length", given: int = 0
) -> wb.Inspection:
    """``run`` with another reply: words and ids only."""
    start, n = run.prompt_length, len(ids)
    kept = {key: value for key, value in run.arrays.items() if not key.startswith(("steps", "lens"))}
    unknown = np.full(n, np.nan, np.float32)
    kept |= {f"steps.{name}": unknown for name in ("logprob", "entropy", "seconds")}
    kept |= {
        "steps.position": start + np.arange(n),
        "steps.token_id": np.array(ids, int),
        "steps.rank": np.zeros(n, int),
    }
    kept |= {"steps.top_ids": np.zeros((n, 0), int), "steps.top_logprobs": np.zeros((n, 0), np.float32)}
    kept["ids"] = np.array(run.ids[:start].tolist() + ids, np.int32)
    pieces = [text.replace(" ", "▁") for text in texts]
    said = {"tokens": [*run.tokens[:start], *pieces], "step_texts": texts, "finish_reason": finish, "given": given}
    known = run.record.pieces | dict(zip(ids, pieces, strict=True))
    return Inspection(run.record.model_copy(update={**said, "pieces": known, "lens": None}), kept)


@pytest.fixture(scope="session")
def pair(runs: list[wb.Inspection]) -> tuple[wb.Inspection, wb.Inspection]:
    def named(run: wb.Inspection, name: str) -> wb.Inspection:
        return Inspection(run.record.model_copy(update={"model": run.model | {"name": name}}), run.arrays)

    return named(runs[0], "here/v0.1"), named(runs[1], "v0.2")


def test_measured_probabilities_are_in_the_sentence(models: list[wb.Model]) -> None:
    found = wb.compare(*models, QUESTION, sampling=wb.Sampling(max_new_tokens=4), capture=wb.Capture.nothing())
    part = found.parting
    assert part.kind == "parted" and part.agreed == 0
    first, second = part.chosen
    assert first is not None and second is not None and found.measured is not None
    assert first.token_id == int(found.a.ids[found.a.prompt_length])
    for one, measured in zip((first, second), found.measured, strict=True):
        at = measured.place(one.position)
        assert at is not None
        assert one.logprob == (pytest.approx(measured.logprob_a[at]), pytest.approx(measured.logprob_b[at]))
        assert one.at_most == (False, False)
    assert first.logprob[0] == pytest.approx(float(found.a.steps["logprob"][0]), abs=1e-4)
    assert f"(p {probability(first.logprob[0])})" in part.sentence
    assert f"’s token p {probability(second.logprob[0])}" in part.sentence


def test_without_a_measurement_only_bounds_are_told(runs: list[wb.Inspection]) -> None:
    part = wb.Comparison.of(*runs).parting
    second = part.chosen[1]
    assert second is not None
    kept = {
        int(i): float(p) for i, p in zip(runs[0].steps["top_ids"][0], runs[0].steps["top_logprobs"][0], strict=True)
    }
    if second.token_id in kept:
        assert second.logprob[0] == pytest.approx(kept[second.token_id], abs=1e-4) and not second.at_most[0]
    else:
        assert second.logprob[0] == pytest.approx(min(kept.values()), abs=1e-4) and second.at_most[0]
        assert f"p at most {probability(second.logprob[0])}" in part.sentence


def test_every_way_to_part(pair: tuple[wb.Inspection, wb.Inspection]) -> None:
    a, b = pair

    def told(*replies: tuple, prompts: bool = True) -> wb.comparison.Parting:  # type: ignore[name-defined]
        made = [retold(run, *reply) for run, reply in zip((a, b), replies, strict=True)]
        return wb.Comparison.of(*made).parting

    tom, has, one, two = (" Tom", 500), (" has", 501), (" one", 502), (" two", 503)

    def reply(*tokens: tuple[str, int], finish: str = "length", given: int = 0) -> tuple:
        return [text for text, _ in tokens], [i for _, i in tokens], finish, given

    end = ("", 2)
    part = told(reply(tom, has, one), reply(tom, has, two, end, finish="eos"))
    assert part.sentence == "Both begin “Tom has”; then v0.1 writes “one” where v0.2 writes “two”."
    assert part.chosen[0] is not None and part.chosen[0].position == a.prompt_length + 2
    assert math.isnan(part.chosen[0].logprob[0]), "nothing was captured of it"
    assert told(reply(one), reply(two)).sentence == (
        "The answers differ from the first token: v0.1 writes “one” where v0.2 writes “two”."
    )
    assert told(reply(tom, has), reply(tom, has)).sentence == "The answers are the same, 2 tokens: “Tom has”."
    assert told(reply(), reply()).sentence.startswith("Nothing was generated: both read the same")
    assert told(reply(), reply(tom)).sentence == "v0.1 wrote nothing; v0.2 begins with “Tom”."
    assert told(reply(tom, has), reply(tom)).sentence == (
        "Both begin “Tom”, where the answer of v0.2 was cut at its limit; v0.1 goes on with “has”."
    )
    stopped = told(reply(tom, finish="stopped"), reply(tom, end, finish="eos"))
    assert stopped.sentence == "Both begin “Tom”, where the answer of v0.1 was stopped; v0.2 ends its answer."
    assert told(reply(tom, end, finish="eos"), reply(tom, has)).sentence == (
        "Both begin “Tom”; then v0.1 ends its answer where v0.2 writes “has”."
    )
    assert "was given “one”" in told(reply(one, given=1), reply(two)).sentence
    spaced = told(reply((" a", 510)), reply(("a", 511)))
    assert "“·a”" in spaced.sentence and "writes “a”" in spaced.sentence
    long = told(
        reply(*[(f" word{i}", 600 + i) for i in range(40)]), reply(*[(f" word{i}", 600 + i) for i in range(39)])
    )
    assert "“…word" in long.sentence and len(long.sentence) < 200


def test_different_prompts_are_said_first(models: list[wb.Model], runs: list[wb.Inspection]) -> None:
    run = models[1].generate([{"role": "user", "content": "Tell me nothing."}], wb.Sampling(max_new_tokens=3))
    for _ in run:
        pass
    part = wb.Comparison.of(runs[0], run.inspection).parting
    assert part.prompts_part is not None
    assert part.sentence.startswith(f"The two did not read the same: their prompts part at token {part.prompts_part}. ")
    assert part.chosen[1] is not None and math.isnan(part.chosen[1].logprob[0]), "a was never asked this"


def test_one_model_twice_is_told_apart(models: list[wb.Model]) -> None:
    runs = [answered(models[0], 3, wb.Capture.nothing(), temperature=2.0, seed=seed) for seed in (1, 2)]
    sentence = wb.Comparison.of(*runs).parting.sentence
    assert "the first " in sentence and "the second " in sentence


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "1.00"), (0.61, ".61"), (0.023, ".023"), (0.0004, "under .001"), (0.0951, ".10"), (0.0, "under .001")],
)
def test_probabilities_in_words(p: float, text: str) -> None:
    assert probability(math.log(p) if p else -math.inf) == text


def test_a_common_beginning_of_white_space_is_no_difference_from_the_first_token() -> None:
    run = SimpleNamespace(
        model={"name": "m"}, record=SimpleNamespace(step_texts=["\n", "x"], finish_reason="eos"), prompt_length=3
    )
    one = Chosen(4, 9, "x", False, False, (-0.1, -0.2), (False, False))
    parted = _sentence("parted", run, run, 1, (one, replace(one, piece="y")), None)  # type: ignore[arg-type]
    assert parted.startswith("Both begin with the same token; then ")
    ended = _sentence("ended", run, run, 1, (None, one), None)  # type: ignore[arg-type]
    assert ended.startswith("Both begin with the same token, where the answer of ")
