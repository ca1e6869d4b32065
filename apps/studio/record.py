"""`python -m apps.studio.record`: put the example questions to the shipped twins and save what happened inside.

The exchange whose answers differ comes first in the index: it is the one a page opens with.
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

TWINS = ("twin-v0.1", "twin-v0.2")
MOST_BYTES = 3 * 2**20
"""Of one file: the pooled map is made coarser until the file fits."""


def record(questions: Sequence[Example], folder: Path, models: Sequence[str] = TWINS, new_tokens: int = 32) -> Path:
    """Write one .inspection file for each question and model, and index.json; the index's path. Greedy, so that the
    same twins give the same files' content again."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded = {name: wb.load(name) for name in models}
    entries: list[dict[str, Any]] = []
    for example in questions:
        entry: dict[str, Any] = {"title": example.title, "question": example.text, "files": {}, "replies": {}}
        for name, model in loaded.items():
            found = _run(model, example.text, new_tokens)
            file = f"{example.key}.{name.rstrip('/').rsplit('/', 1)[-1]}.inspection"
            found.save(folder / file)
            entry["files"][name], entry["replies"][name] = file, found.reply
            print(f"{file}: {(folder / file).stat().st_size / 2**20:.1f} MiB, {found.reply!r}")
        entries.append(entry)
    entries.sort(key=lambda entry: len(set(entry["replies"].values())) == 1)
    index = folder / "index.json"
    index.write_text(json.dumps({"exchanges": entries}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return index


def _run(model: wb.Model, question: str, new_tokens: int) -> wb.Inspection:
    """The full capture with the finest map that keeps the file small; states always stay, so any row is exact."""
    for pool in (256, 192, 128, 96, 64):
        capture = wb.Capture(
            attention=wb.AttentionCapture(rows=None, pool=pool, states=True), lens=wb.LensCapture(positions="all")
        )
        run = model.generate([{"role": "user", "content": question}], wb.Sampling(max_new_tokens=new_tokens), capture)
        for _ in run:
            pass
        if run.inspection.nbytes <= MOST_BYTES:
            break
    return run.inspection


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.studio.record", description=__doc__)
    parser.add_argument("--folder", type=Path, default=recorded_folder(), help="where the files go")
    parser.add_argument("--model", action="append", help="a model instead of the twins; give it twice for two")
    parser.add_argument("--new-tokens", type=int, default=32, help="the most tokens of a reply")
    chosen = parser.parse_args()
    print(record(examples(), chosen.folder, chosen.model or TWINS, chosen.new_tokens))


if __name__ == "__main__":
    main()
