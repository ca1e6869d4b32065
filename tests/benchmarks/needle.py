"""A retrieval grid against one `model.generate` call a question, and two processes against one.

    python tests/benchmarks/needle.py [--lengths 12] [--depths 10] [--cases 1] [--longest 2048]
                                      [--models twin-v0.1 twin-v0.2] [--only grid processes]

One thread, in one process; seconds of wall clock, in which the questions are made as well, not the models loaded. The
study makes each question once for both models, `generate` for each. Two processes have one thread each, as one has.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import workbench as wb
from workbench.context.answering import Reader
from workbench.context.plan import Plan
from workbench.context.spacing import depths as spaced
from workbench.context.study import needle


def asked(given: argparse.Namespace) -> dict:
    lengths = [round(given.longest * (i + 1) / given.lengths) for i in range(given.lengths)]
    return {"lengths": lengths, "depths": spaced(given.depths), "cases": given.cases}


def by_generate(model: wb.Model, plan: Plan) -> tuple[float, dict[str, str]]:
    """Seconds of making each question and generating its answer by itself, and the answers by their trials' keys."""
    began, texts = time.perf_counter(), {}
    for group in plan.groups():
        for trial in group.trials():
            run = model.generate(trial.item.prompt, wb.Sampling(max_new_tokens=trial.item.budget), wb.Capture.nothing())
            texts[trial.key] = "".join(step.text for step in run).strip()
    return time.perf_counter() - began, texts


def grid(given: argparse.Namespace) -> None:
    models = [wb.load(name) for name in given.models]
    for model in models:  # warm
        Reader(model).read_up_to(model.encode("The cat sat.").ids)
    print("| model | trials | tokens | study, s | it read | generate, s | ratio | same texts |")
    print("|---|---|---|---|---|---|---|---|")
    sums = [0.0, 0.0]
    study = needle(models, **asked(given))
    spent = dict.fromkeys([model.name for model in models], 0.0)
    began = time.perf_counter()
    for told in study:
        now = time.perf_counter()
        assert told.trial is not None
        spent[told.trial.model.name] += now - began
        began = now
    trials = study.grid.trials
    for model in models:
        alone, texts = by_generate(model, needle(model, **asked(given)).plan)
        mine = trials[trials["model"] == model.name]
        same = sum(texts[key] == said for key, said in zip(mine["key"], mine["answer"], strict=True))
        ours = spent[model.name]
        print(f"| {model.name} | {len(mine)} | {mine['prompt_tokens'].sum()} | {ours:.1f} | {mine['read'].sum()} | "
              f"{alone:.1f} | {alone / ours:.2f} | {same} of {len(texts)} |")  # fmt: skip
        sums = [sums[0] + ours, sums[1] + alone]
    print(f"| together | {len(trials)} | {trials['prompt_tokens'].sum()} | {sums[0]:.1f} | {trials['read'].sum()} | "
          f"{sums[1]:.1f} | {sums[1] / sums[0]:.2f} | |\n")  # fmt: skip


def share(given: argparse.Namespace) -> None:
    """One process of several: loads, waits until all have, and prints the seconds of its share."""
    number, count = map(int, given.share.split("/"))
    models = [wb.load(name) for name in given.models]
    folder = Path(given.folder)
    study = needle(models, **asked(given), folder=folder / "study", share=(number, count))
    (folder / f"ready-{number}").touch()
    while len(list(folder.glob("ready-*"))) < count:
        time.sleep(0.01)
    began = time.perf_counter()
    for _ in study:
        pass
    print(time.perf_counter() - began)


def by_processes(given: argparse.Namespace, count: int) -> float:
    """Seconds until the last of ``count`` processes has done its share."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--folder", folder, "--lengths", str(given.lengths), "--depths",
                   str(given.depths), "--cases", str(given.cases), "--longest", str(given.longest), "--models",
                   *given.models]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [*command, "--share", f"{i}/{count}"], env=environment, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for i in range(count)
        ]  # fmt: skip
        return max(float(process.communicate()[0]) for process in started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("lengths", 12), ("depths", 10), ("cases", 1), ("longest", 2048)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--models", nargs="+", default=["twin-v0.1", "twin-v0.2"])
    parser.add_argument("--only", nargs="+", choices=("grid", "processes"), default=("grid", "processes"))
    parser.add_argument("--share", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.share:
        torch.set_num_threads(1)
        return share(given)
    print(f"{given.lengths} lengths to {given.longest} x {given.depths} depths x {given.cases} cases\n")
    if "grid" in given.only:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        grid(given)
        torch.set_num_threads(before)
    if "processes" in given.only:
        one, two = by_processes(given, 1), by_processes(given, 2)
        print("| processes | seconds | ratio |\n|---|---|---|")
        print(f"| 1 | {one:.1f} | 1.00 |\n| 2 | {two:.1f} | {one / two:.2f} |")
    return None


if __name__ == "__main__":
    main()
