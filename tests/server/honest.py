"""One honest request for everything that the pages ask of the server: what hostile ones are changed from."""

from __future__ import annotations

from typing import Any

_GRID = {"tasks": ["needle"], "lengths": [64], "depths": [0.5], "cases": 1, "seed": 0, "form": "chat", "haystack": "",
         "own": ""}  # fmt: skip
_RUN = {"run": "", "other": "", "token": 3, "layer": 1, "head": 0, "panel": "attention"}
ACTS: tuple[dict[str, Any], ...] = (
    {"kind": "look"}, {"kind": "choose", "index": 1, "version": 0}, {"kind": "open", "index": 1}, {"kind": "new"},
    {"kind": "fork", "index": 0}, {"kind": "undo"}, {"kind": "recorded", "id": "x"}, {"kind": "thread", "number": 1},
    {"kind": "switch", "window": 16, "theta": 1e4, "cache": "own"}, {"kind": "export"}, {"kind": "fits", "text": "Hi",
    "longest": 4},
    {"kind": "guard", "safe_prompt": True, "moderate": False}, {"kind": "import",
    "text": '[{"role": "user", "content": "x"}]'},
)  # fmt: skip


def requests(model: str, other: str) -> dict[str, dict[str, Any]]:
    """By the name of the server's function; those that are not named take no argument but the tab."""
    pair = [model, other]
    return {
        "act": {"kind": "fits", "text": "Hi", "longest": 4, "model": model, "index": 0},
        "answer": {"kind": "row", **_RUN}, "difference": {"part": "open", **_RUN}, "remove": {"run": ""},
        "export": {"run": "", "runs": ["", ""], "format": "html"}, "open": {"path": "/etc/passwd"},
        "grid_estimate": {**_GRID, "models": pair}, "grid_start": {**_GRID, "models": pair},
        "grid_shown": {"study": "recorded"}, "grid_effective": {"study": "recorded", "threshold": 0.5},
        "grid_questions": {"study": "recorded", "task": "needle", "length": 128, "depth": 0.5},
        "grid_why": {"study": "recorded", "task": "needle", "length": 128, "depth": 0.5, "case": 0,
        "model": "twin-v0.1"},
        "grid_file": {"study": "recorded", "kind": "jsonl"},
        "loss_start": {"models": pair, "text": "a\n---\nb c d", "length": 8},
        "loss_induction": {"models": pair, "periods": [4]},
        "reach_shown": {"tokens": 64, "pair": "page"}, "reach_measure": {"model": model, "tokens": 8,
        "method": "change"},
        "heads_start": {"model": model, "task": "needle", "lengths": [64], "cases": 1, "seed": 0, "least": 0.1,
                        "silence": 1, "controls": 1},
        "cache_start": {"model": model, "policies": ["full", "snapkv=25%"], "text": "a b c d e f", "length": 4,
        "cases": 0,
                        "follow": 1, "task": "needle"},
        "job_status": {"job": "x"}, "job_halt": {"job": "x"}, "differences_changes": {"weights": False},
        "differences_texts": {"texts": "a b c\n---\nd e f"}, "fact_probe": {"model": model, "text": "a b c d"},
        "fact_tensors": {"model": model, "against": ""},
        "promptlab_forms": {"model": model, "messages": [{"role": "user", "content": "Hi"}]},
        "promptlab_start": {"over": "this", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant",
        "content": "a"}]},
        "memory_plan": {"model": "own", "config": "{}", "tokens": 128, "format": "bfloat16", "kv_bits": 16,
        "capture": True},
        "which_start": {"measures": ["loss"], "texts": "a b c", "questions": "", "most": 1, "reference": "a"},
        "behaviour_start": {"suite": "", "text": '{"id": "a", "prompt": "b"}', "name": "n", "limit": 1, "tokens": 1,
                            "temperature": 0.0, "seed": 0, "safe_prompt": False},
        "votes_ask": {"run": "x"}, "votes_give": {"run": "x", "item": "a", "sample": 0, "vote": "left"},
        "votes_result": {"run": "x"}, "votes_judge": {"run": "x", "judge": model},
        "guardrails_start": {"model": model, "prompts": "Hi", "moderate": False, "longest": 1},
    }  # fmt: skip
