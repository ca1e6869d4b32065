"""`python -m apps.studio.record`: put the example prompts to the shipped twins and save what happened inside.

Recorded is the exchange that a page opens with: one whose answers differ, best of all because the question looks back
beyond the window of a model; and one each of the other kinds. Greedy, so the same twins give the same again.
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
from workbench.errors import WorkbenchError

TWINS = ("twin-v0.1", "twin-v0.2")
MOST_BYTES = 3 * 2**20
"""Of one file's arrays, of the exchange that a page opens with."""
OTHERS_BYTES = 2**20
"""Of one file's arrays, of the others."""
OTHERS = ("capital", "reverse", "my-name")
"""Examples recorded besides: a fact, an instruction, and what was said earlier in a conversation."""


def record(
    found: Sequence[Example], folder: Path, models: Sequence[str] = TWINS, new_tokens: int = 32,
    others: Sequence[str] = (), first: bool = False, **loading: Any,
) -> Path:  # fmt: skip
    """Write one .inspection file a model for the most telling of ``found`` (the ``first``, when so asked) and for those
    whose ids are among ``others``, and index.json, whose path comes back. Files that an earlier index lists go.
    ``loading`` goes to `wb.load`."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _listed(folder)
    loaded = {name: wb.load(name, **loading) for name in models}
    chosen = found[0] if first else _most_telling(found, loaded, new_tokens)
    besides = [one for name in others for one in found if one.id == name and one is not chosen]
    entries = [_recorded(chosen, folder, loaded, new_tokens, MOST_BYTES)]
    entries += [_recorded(one, folder, loaded, new_tokens, OTHERS_BYTES) for one in besides]
    index = folder / "index.json"
    index.write_text(json.dumps({"exchanges": entries}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for old in earlier - {file for entry in entries for file in entry["files"].values()}:
        (folder / old).unlink(missing_ok=True)
    return index


def _listed(folder: Path) -> set[str]:
    """Names of the files that the folder's index lists; none without one that can be read."""
    try:
        entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))["exchanges"]
        return {Path(str(file)).name for entry in entries for file in entry["files"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _recorded(
    chosen: Example, folder: Path, models: dict[str, wb.Model], new_tokens: int, most_bytes: int
) -> dict[str, Any]:  # fmt: skip
    """Run and save one example; its entry in the index."""
    entry: dict[str, Any] = {
        "id": chosen.id,
        "title": chosen.title,
        "messages": [dict(m) for m in chosen.messages],
        "files": {},
        "replies": {},
    }
    for name, model in models.items():
        run = _captured(model, chosen, new_tokens, most_bytes)
        file = f"{chosen.id}.{title(name)}.inspection"
        run.save(folder / file)
        entry["files"][name], entry["replies"][name] = file, run.reply
        print(f"{file}: {(folder / file).stat().st_size / 2**20:.1f} MiB, {run!r}")
    return entry


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


def _captured(
    model: wb.Model, example: Example, new_tokens: int, most_bytes: int = MOST_BYTES
) -> wb.Inspection:  # fmt: skip
    """As much as fits ``most_bytes``: states, from which any row is exact, or the exact rows of the reply; maps as fine
    as there is room for."""
    bare = _run(model, example, new_tokens, wb.Capture.nothing())
    prompt, new = bare.prompt_length, len(bare.ids) - bare.prompt_length
    kinds = [wb.AttentionCapture(rows=None, pool=pool, states=True) for pool in (256, 128, 96, 64)]
    kinds += [wb.AttentionCapture(rows="last", pool=pool) for pool in (128, 96, 64, 48, 32)]
    for attention in kinds:
        capture = wb.Capture(attention=attention, lens=wb.LensCapture(positions="all"))
        if sum(capture.bytes(model, prompt, new).values()) <= most_bytes:
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
    parser.add_argument(
        "--example", action="append", help="an example's id, instead of choosing; the first opens the page"
    )
    parser.add_argument("--dtype", default="auto", help="of the weights, as for the other commands")
    parser.add_argument("--device-map", default=None, help="where the weights go: cpu, cuda, auto")
    parser.add_argument("--new-tokens", type=int, default=32, help="the most tokens of a reply")
    given = parser.parse_args()
    known = {one.id: one for one in examples()}
    named = given.example or []
    if unknown := [name for name in named if name not in known]:
        parser.error(f"no example is called {unknown[0]!r}; there are {', '.join(known)}")
    models, loading = given.model or TWINS, {"dtype": given.dtype, "device_map": given.device_map}
    try:
        if named:
            wanted = [known[name] for name in dict.fromkeys(named)]
            print(record(wanted, given.folder, models, given.new_tokens, named, first=True, **loading))
        else:
            print(record(list(known.values()), given.folder, models, given.new_tokens, OTHERS, **loading))
    except WorkbenchError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
