"""Standard benchmarks through a loaded model, by EleutherAI's lm-evaluation-harness (the extra ``evaluation``).

lm-eval is imported when `evaluate` is called and nowhere else. A task of its own downloads its data set: only tasks
that you name do; a task written as YAML or a dict with local data files needs no network.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.behaviour import likelihood
from workbench.errors import WorkbenchError
from workbench.generation.sampling import Sampling
from workbench.inspection.provenance import provenance
from workbench.models.given import models_given
from workbench.results import Result

if TYPE_CHECKING:
    from workbench.model import Model

NEW_TOKENS = 256
"""Of a reply, where a task does not say."""
_KNOWN = {
    "until",
    "max_gen_toks",
    "max_new_tokens",
    "max_tokens",
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
}


@dataclass(frozen=True, eq=False)
class Evaluation(Result):
    """What lm-eval measured: ``rows`` of task, metric, filter, value, stderr (None where it gives none), n (documents)
    and shots; ``provenance`` with lm-eval's version and its seeds."""

    model: str
    rows: tuple[dict[str, Any], ...]
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """The rows, by task, metric and filter."""
        names = ["task", "metric", "filter", "value", "stderr", "n", "shots"]
        return pd.DataFrame(self.rows, columns=names).set_index(names[:3])

    def to_csv(self, path: str | Path) -> None:
        """Write `table` as CSV."""
        self.table().to_csv(path)

    def to_dataframe(self) -> pd.DataFrame:
        """`table` as a flat one: a row a task, metric and filter."""
        return self.table().reset_index()

    def figure(self) -> Any:
        """A plotly figure: values with twice their standard error by task and metric. Raises WorkbenchError without
        plotly or without rows."""
        return importlib.import_module("workbench.figures.dots").evaluation_figure(self.to_dataframe())

    def __repr__(self) -> str:
        shown = "; ".join(f"{row['task']} {row['metric']} {row['value']:.4g}" for row in self.rows[:4])
        return f"Evaluation({self.model}: {shown}{', ...' if len(self.rows) > 4 else ''})"


def evaluate(
    model: Model, tasks: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]], *,
    shots: int | None = None, limit: int | None = None, chat: bool = False, seed: int = 1234,
) -> Evaluation:  # fmt: skip
    """Run ``tasks`` of lm-eval: names ("arc_easy"), YAML files of tasks, or their dicts.

    ``shots`` are worked examples before each question (None: what the task says), ``limit`` the first so many
    documents, ``chat`` asks each question as a chat message. Nothing but named tasks is downloaded. Raises
    WorkbenchError where lm-eval is not installed, for an unknown task, and for a setting that cannot be met.
    """
    models_given(model)
    lm_eval = require("lm_eval")
    manager = require("lm_eval.tasks").TaskManager
    listed = [tasks] if isinstance(tasks, str | Path | Mapping) else list(tasks)
    files = [Path(one) for one in listed if isinstance(one, str | Path) and str(one).endswith((".yaml", ".yml"))]
    for path in files:
        if not path.is_file():
            raise WorkbenchError(f"There is no task file {path}", expected="a YAML file of one lm-eval task")
    known = manager(include_path=[str(path.resolve().parent) for path in files] or None)
    wanted = [_named(one, known) for one in listed]
    if not wanted:
        raise WorkbenchError("No task is named", expected="a task's name, such as arc_easy")
    found = lm_eval.simple_evaluate(
        model=language_model(model), tasks=wanted, num_fewshot=shots, limit=limit, apply_chat_template=chat,
        task_manager=known, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed, fewshot_random_seed=seed,
        log_samples=False,
    )  # fmt: skip
    settings = {"tasks": [one if isinstance(one, str) else one.get("task") for one in wanted], "shots": shots,
                "limit": limit, "chat": chat, "seed": seed}  # fmt: skip
    made = provenance(model.loaded, [], settings)
    made["versions"]["lm-eval"] = getattr(lm_eval, "__version__", None) or importlib.metadata.version("lm_eval")
    return Evaluation(model.name, tuple(_rows(found)), made)


def _named(task: Any, known: Any) -> Any:
    if isinstance(task, Mapping):
        return dict(task)
    if str(task).endswith((".yaml", ".yml")):
        import yaml

        for line in Path(task).read_text(encoding="utf-8").split("\n"):
            if line.startswith("task:"):
                return str(yaml.safe_load(line)["task"])
        raise WorkbenchError(f"{task} names no task", expected="a line such as task: my_task")
    if not known.match_tasks([str(task)]):
        raise WorkbenchError(f"lm-eval knows no task {str(task)[:60]!r}", expected="one that `lm-eval ls tasks` lists")
    return str(task)


def _rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for task, results in found["results"].items():
        counted, shots = found.get("n-samples", {}).get(task, {}), found.get("n-shot", {}).get(task)
        for name, value in results.items():
            metric, _, kind = name.partition(",")
            if not kind or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = results.get(f"{metric}_stderr,{kind}")
            rows.append({
                "task": task, "metric": metric, "filter": kind, "value": float(value),
                "stderr": float(error) if isinstance(error, int | float) else None,
                "n": counted.get("effective"), "shots": shots,
            })  # fmt: skip
    return rows


def sampling_of(asked: Mapping[str, Any]) -> Sampling:
    """A task's generation settings as a `Sampling`. Raises WorkbenchError for one that has no meaning here."""
    for key, value in asked.items():
        if key not in _KNOWN and not (key == "num_beams" and value == 1):
            raise WorkbenchError(f"The task asks for {str(key)[:40]} = {str(value)[:40]}", expected=", ".join(_KNOWN))
    until = asked.get("until") or []
    until = [until] if isinstance(until, str) else list(until)
    most = next((asked[key] for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in asked), NEW_TOKENS)
    temperature = float(asked.get("temperature") or 0.0)
    drawn = asked.get("do_sample", temperature > 0)
    filters = {key: asked[key] for key in ("top_p", "top_k", "min_p") if drawn and key in asked}
    return Sampling(
        int(most), (temperature or 1.0) if drawn else 0.0, stop=tuple(one for one in until if one), **filters
    )


def language_model(model: Model) -> Any:
    """``model`` as an ``lm_eval.api.model.LM``, to give to lm-eval yourself."""
    base: Any = require("lm_eval.api.model").LM

    class WorkbenchLM(base):  # type: ignore[misc]
        """lm-eval's three questions, answered by `workbench.behaviour.likelihood`."""

        def __init__(self) -> None:
            super().__init__()
            self._chats: dict[str, list[int]] = {}

        @property
        def tokenizer_name(self) -> str:
            return f"workbench-{model.tokenizer.sha256}"

        def chat_template(self, chat_template: bool | str = False) -> str | None:
            return "message by message, as Mistral's reference tokenizer encodes it" if chat_template else None

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            # lm-eval passes texts around; the ids of a conversation are not those of its text (see chat/encoding.py).
            text = "\n".join(f"[{one['role']}] {one['content']}" for one in chat_history)
            self._chats[text] = list(model.encode(chat_history).ids)
            return text

        def _ids(self, context: str) -> tuple[list[int], bool]:
            """The ids of a context, and whether it is a chat."""
            begun = max((text for text in self._chats if context.startswith(text)), key=len, default=None)
            if begun is None:
                return likelihood.text_ids(model, context), False
            return self._chats[begun] + model.tokenizer.encode(context[len(begun) :].strip()), True

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            found = []
            for one in requests:
                context, then = one.args
                before, is_chat = self._ids(context)
                parts = (
                    (before, model.tokenizer.encode(then.strip())) if is_chat else likelihood.split(model, *one.args)
                )
                found.append(likelihood.continuation(model, *parts))
                self.cache_hook.add_partial("loglikelihood", one.args, found[-1])
            return found

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            return [likelihood.text_likelihood(model, one.args[0]) for one in requests]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            found = []
            for one in requests:
                context, asked = one.args
                before, is_chat = self._ids(context)
                found.append(likelihood.reply(model, before, sampling_of(asked), continues=not is_chat))
                self.cache_hook.add_partial("generate_until", one.args, found[-1])
            return found

    return WorkbenchLM()


def require(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "lm_eval":
            raise
        raise WorkbenchError(
            "Benchmarks need lm-eval, which is not installed here", remedy='pip install "mistral-workbench[evaluation]"'
        ) from None
