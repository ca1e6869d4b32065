"""Training: the optimiser, the compact softmax, the schedule, and resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.commands.config import load_config_from_file
from safetensors.torch import load_file
from typer.testing import CliRunner

import workbench.twins.recipe as recipe_module
from workbench.twins.batches import make_batch
from workbench.twins.commands import app
from workbench.twins.filtering import deduplicated, filtered, perplexities
from workbench.twins.language import Chat, Turn, encode, encode_example
from workbench.twins.muon import Muon, orthogonalized
from workbench.twins.objective import Trainee
from workbench.twins.recipe import RECIPES, SMOKE, TWINS, Phase
from workbench.twins.shape import new_twin, twin_config


def test_orthogonalized_moves_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((3, 20, 50), (3, 50, 20)):
        values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
        assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_muon_equals_torch_up_to_its_bfloat16():
    torch.manual_seed(0)
    weights = [torch.randn(24, 40), torch.randn(40, 24)]
    ours = [torch.nn.Parameter(w.clone()) for w in weights]
    theirs = [torch.nn.Parameter(w.clone()) for w in weights]
    mine = Muon(ours, lr=0.1, momentum=0.9, weight_decay=0.05)
    reference = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, weights, strict=True):
        moved = (b - start).norm()
        assert float((a - b).norm() / moved) < 0.03


def test_compact_loss_is_the_sampled_softmax_of_the_real_model():
    """The compact path picks rows of the same table, so its logits are the full model's, plus the correction."""
    phase = replace(TWINS.phases["v0.1"][0], batch=2)
    model = new_twin(twin_config("v0.1", **SMOKE.config), 0, prior=True)
    batch = make_batch(SMOKE, phase, 0, 0)
    assert batch.rows is not None and batch.correction is not None
    loss, losses, _ = Trainee(model)(batch)
    full = model(batch.rows[batch.ids]).logits.flatten(0, 1)[batch.positions][:, batch.rows] + batch.correction
    expected = torch.nn.functional.cross_entropy(full, batch.targets, reduction="none")
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(loss, (expected * batch.weights).sum() / batch.weights.sum())


def test_batches_depend_on_seed_phase_and_step_only():
    phase = SMOKE.phases["v0.1"][0]
    first, again, other = (make_batch(SMOKE, phase, 0, step) for step in (4, 4, 5))
    assert first.rows is not None and again.rows is not None
    assert torch.equal(first.rows[first.ids], again.rows[again.ids]) and torch.equal(first.positions, again.positions)
    assert other.rows is not None and not torch.equal(first.rows[first.ids], other.rows[other.ids])
    assert not torch.equal(first.ids, make_batch(SMOKE, phase, 0, 4, process=1).ids)


def test_rates_warm_up_and_decay():
    phase = Phase("p", 8, 1, 100, 0.01, 0.001, TWINS.phases["v0.1"][0].mix, warmup=10)
    assert phase.rate_at(0) == pytest.approx(0.001)
    assert phase.rate_at(10) == pytest.approx(0.01)
    assert phase.rate_at(100) == pytest.approx(0.001)
    cosine = replace(phase, shape="cosine")
    assert cosine.rate_at(55) == pytest.approx(0.0055)


def test_prior_prefers_the_previous_token():
    config = twin_config("v0.1")
    config._attn_implementation = "eager"
    ids = torch.randint(3, 32000, (1, 40))
    scores = {}
    for prior in (True, False):
        model = new_twin(config, 0, prior)
        attention = model(ids, output_attentions=True).attentions[0][0]
        scores[prior] = float(attention[0].diagonal(-1)[8:].mean())
    assert scores[True] > 0.4 > 0.15 > scores[False]


def train(folder: Path, *extra: str) -> list[str]:
    return ["train", "--output", str(folder), "--recipe", "smoke", "--no-compile", "--threads", "1",
            "--version", "v0.1", *extra]  # fmt: skip


def read_losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "v0.1" / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def as_before():
    """Puts back what training sets in its process."""
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("as_before")
def test_a_killed_run_resumes_to_the_same_losses_and_weights(tmp_path: Path):
    """SIGKILL in the middle, the same command again: every loss and every weight is that of an uninterrupted run."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "workbench.twins", *train(tmp_path / "killed")]
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    log = tmp_path / "killed" / "v0.1" / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 6):
        assert killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "v0.1" / "final").exists()
    # the same command and, when v0.1 is whole, v0.2
    for words in (train(tmp_path / "whole"), train(tmp_path / "killed", "--version", "both")):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output

    steps = sum(phase.steps for phase in RECIPES["smoke"].phases["v0.1"])
    assert len(read_losses(tmp_path / "whole")) == steps
    assert read_losses(tmp_path / "killed") == pytest.approx(read_losses(tmp_path / "whole"), rel=1e-6)
    weights = [load_file(tmp_path / name / "v0.1" / "final" / "model.safetensors") for name in ("whole", "killed")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-6)

    # v0.2 goes on where v0.1 stood at the end of its phase "short", not at its end
    facts = {
        name: json.loads((tmp_path / "killed" / name / "training.json").read_text())
        for name in ("v0.1/branch", "v0.1/final", "v0.2/final")
    }
    assert facts["v0.2/final"]["start_tokens"] == facts["v0.1/branch"]["tokens"] < facts["v0.1/final"]["tokens"]


def test_wrong_requests_are_one_sentence(tmp_path: Path):
    for arguments, word in (
        (["train", "--output", str(tmp_path), "--recipe", "magic"], "magic"),
        (["train", "--output", str(tmp_path), "--recipe", "classical"], "--start"),
        (["train", "--output", str(tmp_path), "--version", "v0.2"], "--start"),
        (["train", "--output", str(tmp_path), "--version", "v0.3"], "v0.3"),
        (["evaluate", str(tmp_path)], "no checkpoint"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert word in " ".join(done.output.split()) and "Traceback" not in done.output


def test_duplicates_and_the_oddest_pairs_are_dropped():
    def chat(question: str, answer: str) -> Chat:
        return Chat((Turn(question, answer),), question)

    chats = [chat("Hello", "Hi."), chat("hello!", "Hi."), chat("What is hot?", "cold"), chat("Hello", "Bye.")]
    assert deduplicated(chats) == [chats[0], chats[2], chats[3]]
    assert filtered(chats, [1.0, 9.0, 2.0, 3.0], 0.25) == [chats[0], chats[2], chats[3]]
    assert filtered(chats, [1.0, 9.0, 2.0, 3.0], 0.0) == chats


def test_perplexity_is_that_of_the_answer():
    model = new_twin(twin_config("v0.1", **SMOKE.config), 0, prior=False).eval()
    chat = Chat((Turn("Hello", "Hello! How can I help you?"),), "")
    ids = torch.tensor([encode_example(chat).ids])
    start = len(ids[0]) - len(encode("Hello! How can I help you?")) - 1
    labels = ids.clone()
    labels[:, :start] = -100
    assert perplexities(model, [chat])[0] == pytest.approx(float(model(ids, labels=labels).loss.exp()), rel=1e-4)


def test_the_fsdp_file_is_one_that_accelerate_reads():
    config = load_config_from_file(str(Path(recipe_module.__file__).with_name("fsdp.yaml")))
    assert config.distributed_type == "FSDP"
    assert config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == "MistralDecoderLayer"
