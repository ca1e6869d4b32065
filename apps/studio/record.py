"""`python -m apps.studio.record`: put the example prompts to the shipped twins and save what happened inside.

Recorded is the exchange that a page opens with: one whose answers differ, best of all because the question looks back
beyond the window of a model. Greedy, so the same twins give the same exchange again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import workbench as wb
from apps.studio.examples import Example, examples
from apps.studio.recorded import recorded_folder
from apps.studio.shelf import title

TWINS = ("twin-v0.1", "twin-v0.2")
MOST_BYTES = 3 * 2**20
"""Of one file's arrays."""


def record(found: Sequence[Example], folder: Path, models: Sequence[str] = TWINS, new_tokens: int = 32) -> Path:
    """Write one .inspection file a model for the most telling of ``found``, and index.json, whose path comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded = {name: wb.load(name) for name in models}
    chosen = _most_telling(found, loaded, new_tokens)
    entry: dict[str, Any] = {
        "title": chosen.title,
        "messages": [dict(m) for m in chosen.messages],
        "files": {},
        "replies": {},
    }
    for name, model in loaded.items():
        run = _captured(model, chosen, new_tokens)
        file = f"{chosen.id}.{title(name)}.inspection"
        run.save(folder / file)
        entry["files"][name], entry["replies"][name] = file, run.reply
        print(f"{file}: {(folder / file).stat().st_size / 2**20:.1f} MiB, {run!r}")
    index = folder / "index.json"
    index.write_text(json.dumps({"exchanges": [entry]}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index


def _most_telling(found: Sequence[Example], models: dict[str, wb.Model], new_tokens: int) -> Example:
    """The shortest prompt beyond a window that the models answer differently; else the first they answer differently;
    else the first."""
    scores = []
    for place, example in enumerate(found):
        replies, beyond, tokens = set(), False, 0
        for model in models.values():
            run = _run(model, example, new_tokens, wb.Capture.nothing())
            replies.add(run.reply)
            tokens = len(run.ids)
            beyond |= model.window is not None and tokens > model.window
        differ = len(replies) > 1
        print(f"{example.id}: {tokens} tokens, {' | '.join(sorted(replies))}")
        scores.append((not differ, not (differ and beyond), tokens if differ and beyond else place, place))
    return found[min(scores)[-1]]


def _captured(model: wb.Model, example: Example, new_tokens: int) -> wb.Inspection:
    """As much as fits MOST_BYTES: states, from which any row is exact, or the exact rows of the reply; maps as fine as
    there is room for."""
    bare = _run(model, example, new_tokens, wb.Capture.nothing())
    prompt, new = bare.prompt_length, len(bare.ids) - bare.prompt_length
    kinds = [wb.AttentionCapture(rows=None, pool=pool, states=True) for pool in (256, 128, 96, 64)]
    kinds += [wb.AttentionCapture(rows="last", pool=pool) for pool in (128, 96, 64, 48, 32)]
    for attention in kinds:
        capture = wb.Capture(attention=attention, lens=wb.LensCapture(positions="all"))
        if sum(capture.bytes(model, prompt, new).values()) <= MOST_BYTES:
            break
    return _run(model, example, new, capture)


def _run(model: wb.Model, example: Example, new_tokens: int, capture: wb.Capture) -> wb.Inspection:
    run = model.generate(example.messages, wb.Sampling(max_new_tokens=new_tokens), capture)
    for _ in run:
        pass
    return run.inspection


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.studio.record", description=__doc__)
    parser.add_argument("--folder", type=Path, default=recorded_folder(), help="where the files go")
    parser.add_argument("--model", action="append", help="a model instead of the twins; give it twice for two")
    parser.add_argument("--example", help="the id of the example to record, instead of choosing")
    parser.add_argument("--new-tokens", type=int, default=32, help="the most tokens of a reply")
    given = parser.parse_args()
    found = [one for one in examples() if given.example in (None, one.id)]
    if not found:
        parser.error(f"no example is called {given.example!r}; there are {', '.join(one.id for one in examples())}")
    print(record(found, given.folder, given.model or TWINS, given.new_tokens))


if __name__ == "__main__":
    main()
