"""Training a twin: optimisers, the loop on accelerate, checkpoints and resuming."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from transformers import MistralForCausalLM

from workbench.errors import WorkbenchError

from .batches import Batch, make_batch
from .muon import Muon
from .objective import Tally, Trainee
from .recipe import Phase, Recipe
from .shape import new_twin, twin_config

BETAS = (0.9, 0.95)


class RecipeError(WorkbenchError, ValueError):
    """A recipe or version that does not exist, or one that lacks what it starts from."""


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    phase: int = 0
    step: int = 0
    total_steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0

    def state_dict(self) -> dict[str, float]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def make_optimizers(model: MistralForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Optimisers of the matrices, the norms and the embedding; each group's `factor` multiplies the phase's rate."""
    matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    embedding = model.model.embed_tokens.weight
    found: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        found.append(Muon(matrices, lr=0.0, weight_decay=recipe.weight_decay))
        found.append(torch.optim.AdamW(norms, lr=0.0, betas=BETAS, weight_decay=0.0))
    else:
        groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": norms, "weight_decay": 0.0}]
        if recipe.vocabulary == "full":
            groups.append({"params": [embedding], "weight_decay": 0.0})
        found.append(torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=1e-5))
    if recipe.vocabulary == "compact":
        # Only the rows of this step have a gradient; SparseAdam leaves all others and their moments alone.
        found.append(torch.optim.SparseAdam([embedding], lr=1e-9, betas=BETAS))
    elif recipe.optimizer == "muon":
        found.append(torch.optim.AdamW([embedding], lr=0.0, betas=BETAS, weight_decay=0.0))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["factor"] = recipe.embedding_factor if any(p is embedding for p in group["params"]) else 1.0
    return found


class Run:
    """One version's training in a folder: `log.jsonl`, `checkpoint/` while it runs, `final/` when it is done."""

    def __init__(
        self,
        folder: Path,
        version: str,
        recipe: Recipe,
        seed: int = 0,
        start: Path | None = None,
        compiled: bool = True,
        mixed_precision: str = "no",
        batches: Callable[[Phase, int, int], Batch] | None = None,
    ) -> None:
        self.folder, self.version, self.recipe, self.seed = Path(folder), version, recipe, seed
        self.folder.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision=mixed_precision,
            gradient_accumulation_steps=recipe.accumulation,
        )
        if self.accelerator.num_processes > 1 and recipe.vocabulary == "compact":
            raise RecipeError(
                "The compact vocabulary is trained in one process", remedy="Add --vocabulary full for several processes"
            )
        set_seed(seed)
        config = twin_config(version, **recipe.config)
        if start is None:
            model = new_twin(config, seed, recipe.prior)
        else:
            model = MistralForCausalLM.from_pretrained(start, config=config, dtype=torch.float32)
        model.train()
        self.model = model
        optimizers = make_optimizers(model, recipe)
        self.trainee, *self.optimizers = self.accelerator.prepare(Trainee(model), *optimizers)
        self.dense = [p for name, p in model.named_parameters() if recipe.vocabulary == "full" or "embed" not in name]
        if compiled:
            # All layers share one graph; each (rows, length) shape costs one compilation.
            for layer in model.model.layers:
                layer.compile(dynamic=False)
        self.stopped = False
        self.progress = Progress()
        self.accelerator.register_for_checkpointing(self.progress)
        self.batches = batches or (
            lambda phase, step, process: make_batch(recipe, phase, seed, step, process, config.vocab_size)
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.recipe.phases[self.version]

    def save(self) -> None:
        """Write a checkpoint; a process killed while writing leaves the previous one in place."""
        new, kept, old = (self.folder / f"checkpoint{suffix}" for suffix in (".new", "", ".old"))
        if self.accelerator.is_main_process:
            shutil.rmtree(new, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(new), safe_serialization=False)
        if self.accelerator.is_main_process:
            shutil.rmtree(old, ignore_errors=True)
            if kept.exists():
                os.replace(kept, old)
            os.replace(new, kept)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """True when a checkpoint was found and loaded; the log loses the lines written after it."""
        for suffix in ("", ".old"):
            kept = self.folder / f"checkpoint{suffix}"
            if (kept / "custom_checkpoint_0.pkl").exists():
                self.accelerator.load_state(str(kept))
                log = self.folder / "log.jsonl"
                if log.exists() and self.accelerator.is_main_process:
                    lines = [text for text in log.read_text().split("\n") if text.endswith("}")]
                    lines = [text for text in lines if json.loads(text)["step"] <= self.progress.total_steps]
                    log.write_text("".join(f"{text}\n" for text in lines))
                return True
        return False

    def agreed(self, wish: bool) -> bool:
        """The main process's wish, in every process: saving is a collective act."""
        return bool(broadcast_object_list([wish])[0])

    def one_step(self, phase: Phase, tally: Tally) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = phase.rate_at(self.progress.step) * group["factor"]
        for part in range(self.recipe.accumulation):
            number = self.progress.step * self.recipe.accumulation + part
            batch = self.batches(phase, number, self.accelerator.process_index).to(self.accelerator.device)
            with self.accelerator.accumulate(self.trainee):
                loss, losses, correct = self.trainee(batch)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.dense, self.recipe.clip)
                for optimizer in self.optimizers:
                    optimizer.step()
                for optimizer in self.optimizers:
                    optimizer.zero_grad(set_to_none=True)
            tally.add(batch, float(loss.detach()), losses, correct)

    def steps(self) -> Iterator[dict[str, object]]:
        """Train to the end and yield each line of the log: step, phase, rate, loss in nats, accuracy by task, speed.

        SIGTERM writes a checkpoint after the current step and ends the run; it can be resumed.
        """
        self.resume()
        stopping: list[int] = []
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
        progress, log = self.progress, self.folder / "log.jsonl"
        tally, saved = Tally(), time.monotonic()
        clock, cores, counted = time.monotonic(), time.process_time(), progress.tokens
        while progress.phase < len(self.phases):
            phase = self.phases[progress.phase]
            if progress.step >= phase.steps:
                if phase.name == self.recipe.branch:
                    self.write("branch")
                progress.phase, progress.step = progress.phase + 1, 0
                continue
            rate = phase.rate_at(progress.step)
            self.one_step(phase, tally)
            progress.step += 1
            progress.total_steps += 1
            progress.tokens += phase.length * phase.batch * self.recipe.accumulation * self.accelerator.num_processes
            if progress.total_steps % self.recipe.log_steps == 0 or progress.step == phase.steps or stopping:
                now, used = time.monotonic(), time.process_time()
                progress.seconds += now - clock
                progress.core_seconds += used - cores
                line = {
                    "step": progress.total_steps, "phase": phase.name, "rate": rate, "tokens": progress.tokens,
                    **tally.line(), "minutes": round(progress.seconds / 60, 2),
                    "core_minutes": round(progress.core_seconds / 60, 2),
                    "tokens_per_second": round((progress.tokens - counted) / (now - clock)),
                }  # fmt: skip
                clock, cores, counted, tally = now, used, progress.tokens, Tally()
                if self.accelerator.is_main_process:
                    with log.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                due = bool(stopping) or time.monotonic() - saved > self.recipe.checkpoint_seconds
                if self.agreed(due or progress.total_steps % self.recipe.checkpoint_steps == 0):
                    self.save()
                    saved = time.monotonic()
                yield line
                self.stopped = self.agreed(bool(stopping))
                if self.stopped:
                    return
        self.finish()

    def finish(self) -> None:
        """Write `final/`: float32 weights and config, and what the training cost."""
        self.save()
        self.write("final")

    def write(self, name: str) -> None:
        """Write the model as it is now to the folder ``name`` of the run."""
        model = self.accelerator.unwrap_model(self.trainee).model
        if self.accelerator.is_main_process:
            write_model(model, self.folder / name, self.progress, self.recipe, self.seed)


def write_model(model: MistralForCausalLM, folder: Path, progress: Progress, recipe: Recipe, seed: int) -> None:
    """Weights (float32), config and `training.json` (tokens, minutes, seed, recipe) in `folder`."""
    model.save_pretrained(folder)
    facts = {
        "recipe": recipe.name, "seed": seed, "tokens": progress.tokens, "steps": progress.total_steps,
        "minutes": round(progress.seconds / 60, 1), "core_minutes": round(progress.core_seconds / 60, 1),
        "prior": recipe.prior, "torch": torch.__version__, "threads": torch.get_num_threads(),
    }  # fmt: skip
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
