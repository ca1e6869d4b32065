"""Texts that break tokenizers: control tokens' names, runs of spaces, code, every plane of Unicode."""

from __future__ import annotations

import random

from hypothesis import strategies as st

AWKWARD = (
    "</s>",
    "<s>",
    "<unk>",
    "[INST]",
    "[/INST]",
    " [/INST] [INST] ",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "▁",
    "▁▁▁",
    "\x00",
    "\x7f",
    "<0x0A>",
    "hello",
    "Hello, world!",
    "def f(x):\n        return x  # twice\n",
    "naïve café",
    "日本語",
    "ﬀ①",
    "e\u0301",
    "🦊",
    "👩\u200d🚀",
    "\u200b",
    "\ufeff",
    "\ud7ff",
    "\U0010ffff",
)


def awkward_text(draw: random.Random, most: int = 10) -> str:
    """Up to ``most`` fragments: awkward ones, runs of up to 80 spaces, ASCII noise, any code point but surrogates."""
    fragments = []
    for _ in range(draw.randint(0, most)):
        kind = draw.random()
        if kind < 0.6:
            fragments.append(draw.choice(AWKWARD))
        elif kind < 0.7:
            fragments.append(" " * draw.randint(1, 80))
        elif kind < 0.85:
            fragments.append("".join(chr(draw.randint(32, 126)) for _ in range(draw.randint(1, 12))))
        else:
            code = draw.randrange(0x110000 - 0x800)
            fragments.append(chr(code if code < 0xD800 else code + 0x800))
    return "".join(fragments)


# Hypothesis' form of the same, which shrinks a failure to its smallest case.
texts = st.lists(
    st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=("Cs",)), max_size=6)), max_size=8
).map("".join)
