"""The verdicts on what is said about the models, against those of the project's checked facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import workbench as wb
from workbench.facts import CLAIMS, PUBLISHED, check_claims, scores
from workbench.facts.claims import Evidence, table
from workbench.models.tokenizer import load_tokenizer

VERDICTS = {
    "v0.2 has about 7.2 billion parameters": ("true", "7,241,732,096"),
    "v0.2 has 7.3 billion parameters": ("rounded up", "7.24"),
    "v0.2 uses sliding-window attention": ("false", "null"),
    "v0.2 has no sliding window and theta 1e6": ("true", "1e6"),
    "v0.2 has no sliding window, and has one": ("contradicts itself", "null"),
    "Grouped-query attention": ("true", "1024 x 4096"),
    "A byte-fallback BPE tokenizer of 32 000 pieces": ("true", "256 of them bytes"),
    "[INST] and [/INST] are special tokens": ("false in v1", "3 and 4"),
    "Only the first instruction begins with BOS": ("true", "stands once"),
    "32k of context against 8k in v0.1": ("partly", "8192"),
    "v0.2 is based on v0.1": ("stale card text", "theta"),
    "Trained on 250B tokens with 16 A100 in three weeks": ("impossible", "1.09e+22"),
    "Data mixture, learning rate 2e-5, batch 2048, length 4096, HELM": ("unverifiable", "no trace"),
    "Released on 15 January 2024": ("false", "December 2023"),
    "fp16 takes 14 to 15 GB, 4 bit 4 to 5 GB": ("true", "14.48 GB"),
    "temperature 0.6, top_p 0.9, max_new_tokens 200": ("that vendor's defaults", "read, not run"),
    "Downloads, likes and discussions": ("unverifiable", "left out"),
}


def test_every_claim_has_its_verdict() -> None:
    found = check_claims()
    assert {f.claim.text for f in found} == set(VERDICTS) and len(found) == len(CLAIMS)
    for finding in found:
        verdict, evidence = VERDICTS[finding.claim.text]
        assert finding.verdict == verdict, finding
        assert evidence in finding.evidence, finding
    assert "9.06e+21" in next(f.evidence for f in found if f.verdict == "impossible")
    assert list(table(found).columns) == ["said_by", "verdict", "evidence", "check"]


def test_a_loaded_config_is_looked_at_instead_of_the_pinned_one() -> None:
    """A v0.2 whose config was given a window is found out."""
    wrong = wb.load("twin-v0.2").switched(window=64)
    findings = {claim.text: claim.check(Evidence({"v0.2": wrong})) for claim in CLAIMS}
    assert findings["v0.2 uses sliding-window attention"][0] == "true"
    assert findings["v0.2 has no sliding window and theta 1e6"] == (
        "false", "sliding_window 64, theta 1e6 in the loaded config of v0.2"
    )  # fmt: skip


def test_the_distance_of_the_weights_says_whether_one_is_based_on_the_other(
    tiny_checkpoint: Callable[..., Path],
) -> None:
    """Against the same by torch on the whole vectors; a model moved a little, and one drawn anew."""
    first, stranger = wb.load(str(tiny_checkpoint())), wb.load(str(tiny_checkpoint(seed=1)))
    later = wb.load(str(tiny_checkpoint()))
    with torch.no_grad():
        for weights in later.module.parameters():
            weights.mul_(1.1).add_(0.01)
    check = next(claim.check for claim in CLAIMS if claim.text == "v0.2 is based on v0.1")
    for other, verdict in ((later, "supported by the weights"), (stranger, "not supported by the weights")):
        a, b = (torch.cat([w.detach().flatten() for w in m.module.parameters()]).double() for m in (first, other))
        said, evidence = check(Evidence({"v0.1": first, "v0.2": other}))
        assert said == verdict
        assert f"lie {float(100 * (b - a).norm() / a.norm()):.1f} % of" in evidence
        assert f"cosine {float(torch.cosine_similarity(a, b, 0)):.3f}" in evidence


def test_published_scores_are_data_with_their_source() -> None:
    rows = scores.table()
    ruler = [rows.loc[f"RULER at {n}", "v0.2"] for n in ("4k", "8k", "16k", "32k", "64k", "128k")]
    assert ruler == ["93.6", "91.2", "87.2", "75.4", "49.0", "13.8"]
    assert rows.loc["MT-Bench", ["v0.1", "v0.2"]].tolist() == ["6.84 ± 0.07", "7.6"]
    assert rows.loc["AlpacaEval 2, length-controlled win rate", "v0.2"] == "17.11 %"
    assert rows.loc["AlpacaEval 2, win rate", "v0.2"] == "14.72 %"
    assert rows.loc["RULER, effective length", "v0.2"] == "16k"
    assert set(rows.loc[[n for n in rows.index if "RULER" in n], "v0.1"]) == {"none published"}
    assert all(score.source for score in PUBLISHED) and set(rows["kind"]) == {"published, not measured here"}


def test_a_tokenizer_with_control_tokens_changes_the_verdicts(tmp_path_factory: pytest.TempPathFactory) -> None:
    from workbench.models import v1_tokenizer

    folder = tmp_path_factory.mktemp("control")
    changed = v1_tokenizer().hf.__class__(tokenizer_object=v1_tokenizer().hf.backend_tokenizer, bos_token="<s>",
                                          eos_token="</s>", unk_token="<unk>")  # fmt: skip
    changed.add_tokens(["[INST]", "[/INST]"])
    changed.save_pretrained(folder)
    verdict, evidence = CLAIMS[7].check(Evidence(tokenizer=load_tokenizer(folder)))
    assert CLAIMS[7].name == "instruction_marks" and verdict == "true" and "1 and 1" in evidence
