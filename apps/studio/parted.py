"""Several texts in one field of the page: a line of --- parts them, in every section; empty lines part nothing."""

from __future__ import annotations

LINE = "---"


def parted(value: str) -> list[str]:
    """The texts of a field, without space around them; empty ones are none."""
    parts: list[list[str]] = [[]]
    for line in value.replace("\r\n", "\n").split("\n"):
        if line.strip() == LINE:
            parts.append([])
        else:
            parts[-1].append(line)
    return [text for part in parts if (text := "\n".join(part).strip())]


def joined(texts: list[str]) -> str:
    """The texts as a field holds them: `parted` gives them back."""
    return f"\n{LINE}\n".join(texts)
