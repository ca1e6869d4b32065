"""The Mistral workbench: what changed between Mistral-7B-Instruct v0.1 and v0.2, and what a long context does inside.

``wb.load`` a model, ``encode`` a conversation, ``inspect`` it or ``generate`` a reply with attention, logit lens and KV
cache recorded; the result is an `Inspection`. Names are imported at first use: ``import workbench`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.behaviour.answers import Answers
    from workbench.behaviour.guarded import Guarded, guarded
    from workbench.behaviour.harness import Evaluation, evaluate
    from workbench.behaviour.judge import Verdicts, judge_suite
    from workbench.behaviour.moderation import Moderation, moderate
    from workbench.behaviour.run import run_suite
    from workbench.behaviour.suite import Suite, read_suite
    from workbench.behaviour.votes import Poll, Votes
    from workbench.cache_lab.result import CacheFindings
    from workbench.cache_lab.study import CacheStudy, cache_study
    from workbench.capture.request import AttentionCapture, AttributionCapture, Capture, LensCapture
    from workbench.capture.tuned_lens import TunedLens
    from workbench.chat.conversation import Conversation
    from workbench.chat.guardrails import with_safe_prompt
    from workbench.comparison.both import compare
    from workbench.comparison.changes import Changes, changes
    from workbench.comparison.comparison import Comparison
    from workbench.comparison.factorial_result import Factorial
    from workbench.comparison.factorial_run import FactorialRun, factorial
    from workbench.comparison.text_result import TextComparison
    from workbench.comparison.texts import compare_texts
    from workbench.context.ablation import Ablation, ablation
    from workbench.context.grid import Grid
    from workbench.context.induction import InductionCurve, induction
    from workbench.context.loss import LossByPosition
    from workbench.context.loss import loss as loss_by_position
    from workbench.context.mechanism import Mechanism, mechanism
    from workbench.context.reach import Reach, reach
    from workbench.context.retrieval_heads import RetrievalHeads, retrieval_heads
    from workbench.context.study import RetrievalStudy, needle
    from workbench.errors import WorkbenchError
    from workbench.facts.prompt_costs import PromptCosts, prompt_costs
    from workbench.facts.prompt_lab import PromptLab, prompt_lab
    from workbench.generation.decoding import Step
    from workbench.generation.prefix import PrefixStore
    from workbench.generation.sampling import Sampling
    from workbench.inspection.inspection import Inspection
    from workbench.inspection.run import Run
    from workbench.model import Model, load
    from workbench.planning.memory import MemoryPlan, memory
    from workbench.results import Result
    from workbench.results.saved import open_result as open

_HOMES = {
    "load": ("workbench.model", "load"),
    "Model": ("workbench.model", "Model"),
    "open": ("workbench.results.saved", "open_result"),
    "Result": ("workbench.results", "Result"),
    "Inspection": ("workbench.inspection.inspection", "Inspection"),
    "Run": ("workbench.inspection.run", "Run"),
    "PrefixStore": ("workbench.generation.prefix", "PrefixStore"),
    "Step": ("workbench.generation.decoding", "Step"),
    "Sampling": ("workbench.generation.sampling", "Sampling"),
    "Capture": ("workbench.capture.request", "Capture"),
    "AttentionCapture": ("workbench.capture.request", "AttentionCapture"),
    "AttributionCapture": ("workbench.capture.request", "AttributionCapture"),
    "LensCapture": ("workbench.capture.request", "LensCapture"),
    "TunedLens": ("workbench.capture.tuned_lens", "TunedLens"),
    "Conversation": ("workbench.chat.conversation", "Conversation"),
    "with_safe_prompt": ("workbench.chat.guardrails", "with_safe_prompt"),
    "moderate": ("workbench.behaviour.moderation", "moderate"),
    "Moderation": ("workbench.behaviour.moderation", "Moderation"),
    "guarded": ("workbench.behaviour.guarded", "guarded"),
    "Guarded": ("workbench.behaviour.guarded", "Guarded"),
    "compare": ("workbench.comparison.both", "compare"),
    "compare_texts": ("workbench.comparison.texts", "compare_texts"),
    "TextComparison": ("workbench.comparison.text_result", "TextComparison"),
    "changes": ("workbench.comparison.changes", "changes"),
    "Changes": ("workbench.comparison.changes", "Changes"),
    "factorial": ("workbench.comparison.factorial_run", "factorial"),
    "Factorial": ("workbench.comparison.factorial_result", "Factorial"),
    "FactorialRun": ("workbench.comparison.factorial_run", "FactorialRun"),
    "Comparison": ("workbench.comparison.comparison", "Comparison"),
    "needle": ("workbench.context.study", "needle"),
    "RetrievalStudy": ("workbench.context.study", "RetrievalStudy"),
    "Grid": ("workbench.context.grid", "Grid"),
    "mechanism": ("workbench.context.mechanism", "mechanism"),
    "Mechanism": ("workbench.context.mechanism", "Mechanism"),
    "retrieval_heads": ("workbench.context.retrieval_heads", "retrieval_heads"),
    "RetrievalHeads": ("workbench.context.retrieval_heads", "RetrievalHeads"),
    "ablation": ("workbench.context.ablation", "ablation"),
    "Ablation": ("workbench.context.ablation", "Ablation"),
    "loss_by_position": ("workbench.context.loss", "loss"),
    "LossByPosition": ("workbench.context.loss", "LossByPosition"),
    "induction": ("workbench.context.induction", "induction"),
    "InductionCurve": ("workbench.context.induction", "InductionCurve"),
    "reach": ("workbench.context.reach", "reach"),
    "Reach": ("workbench.context.reach", "Reach"),
    "cache_study": ("workbench.cache_lab.study", "cache_study"),
    "CacheStudy": ("workbench.cache_lab.study", "CacheStudy"),
    "CacheFindings": ("workbench.cache_lab.result", "CacheFindings"),
    "memory": ("workbench.planning.memory", "memory"),
    "MemoryPlan": ("workbench.planning.memory", "MemoryPlan"),
    "prompt_lab": ("workbench.facts.prompt_lab", "prompt_lab"),
    "PromptLab": ("workbench.facts.prompt_lab", "PromptLab"),
    "prompt_costs": ("workbench.facts.prompt_costs", "prompt_costs"),
    "PromptCosts": ("workbench.facts.prompt_costs", "PromptCosts"),
    "Answers": ("workbench.behaviour.answers", "Answers"),
    "Suite": ("workbench.behaviour.suite", "Suite"),
    "read_suite": ("workbench.behaviour.suite", "read_suite"),
    "run_suite": ("workbench.behaviour.run", "run_suite"),
    "Poll": ("workbench.behaviour.votes", "Poll"),
    "Votes": ("workbench.behaviour.votes", "Votes"),
    "judge_suite": ("workbench.behaviour.judge", "judge_suite"),
    "Verdicts": ("workbench.behaviour.judge", "Verdicts"),
    "evaluate": ("workbench.behaviour.harness", "evaluate"),
    "Evaluation": ("workbench.behaviour.harness", "Evaluation"),
    "WorkbenchError": ("workbench.errors", "WorkbenchError"),
}

__version__ = "0.1.0"
__all__ = ["Ablation", "Answers", "AttentionCapture", "AttributionCapture", "CacheFindings", "CacheStudy", "Capture",
           "Changes", "Comparison", "Conversation", "Evaluation", "Factorial", "FactorialRun", "Grid", "Guarded",
           "InductionCurve", "Inspection", "LensCapture", "LossByPosition", "Mechanism", "MemoryPlan", "Model",
           "Moderation", "Poll", "PrefixStore", "PromptCosts", "PromptLab", "Reach", "Result", "RetrievalHeads",
           "RetrievalStudy", "Run", "Sampling", "Step", "Suite", "TextComparison", "TunedLens", "Verdicts", "Votes",
           "WorkbenchError", "ablation", "cache_study", "changes", "compare", "compare_texts", "evaluate",
           "factorial", "guarded", "induction", "judge_suite", "load", "loss_by_position", "mechanism", "memory",
           "moderate", "needle", "open", "prompt_costs", "prompt_lab", "reach", "read_suite", "retrieval_heads",
           "run_suite", "with_safe_prompt"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
