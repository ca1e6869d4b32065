"""The code beside a before-and-after of guardrails says the very prompts that were asked."""

from __future__ import annotations

import ast

from apps.studio.guardrail_events import code

PROMPTS = ["Say \U0001f600.", 'a "quoted" one', "half \ud800", "back\\slash", "it's"]


def test_the_code_says_the_very_prompts() -> None:
    (listed,) = [
        node for node in ast.walk(ast.parse(code("twin-v0.2", PROMPTS, 8, True))) if isinstance(node, ast.List)
    ]
    assert ast.literal_eval(listed) == PROMPTS
