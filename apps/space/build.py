"""`python -m apps.space.build FOLDER`: write the folder that is pushed to a Hugging Face Space.

It is the repository's own code, without what only developers need. `FOLDER` is new, empty, a clone of a Space, or an
earlier build, which is written anew; anything else is left alone.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from apps.studio.app import NOTEBOOK
from workbench.errors import WorkbenchError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("workbench", "apps")
ASSETS = ("twins", "recorded", "prompts")
SINGLE = ("LICENSE", NOTEBOOK)
START = '''"""Starts the Space; `spaces` comes before anything that knows CUDA."""

import os

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401

from apps.space.app import main

if __name__ == "__main__":
    main()
'''
TOP = {
    "app.py": START,
    ".gitattributes": "".join(
        f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in ("safetensors", "inspection", "parquet")
    ),
}
WRITTEN = {*PACKAGES, "assets", "notebooks", "LICENSE", "README.md", "requirements.txt", *TOP}
TORCH = {"cpu": "torch>=2.8", "gpu": "torch>=2.8", "zerogpu": "torch>=2.8,<2.12"}
"""ZeroGPU runs no other versions; anything else takes what is tested, too."""
SUGGESTED = {"cpu": "cpu-basic", "gpu": "a100-large", "zerogpu": "zero-a10g"}
"""What the card suggests to who duplicates the Space."""


def build(folder: Path, hardware: str = "cpu", root: Path = ROOT) -> list[Path]:
    """Write the Space for ``hardware`` (cpu, gpu, zerogpu) into ``folder``; its files, relative to it. Raises
    WorkbenchError where the folder holds something else, or this is no checkout."""
    if not (root / NOTEBOOK).is_file():
        raise WorkbenchError("This is no checkout of the repository", remedy="Run it from a clone of it")
    _clear(folder)
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.so", ".*"))
    for name in ASSETS:
        shutil.copytree(root / "assets" / name, folder / "assets" / name, ignore=shutil.ignore_patterns(".*"))
    for name in SINGLE:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    space = root / "apps" / "space"
    card = (space / "README.md").read_text(encoding="utf-8")
    card = card.replace("app_file: app.py\n", f"app_file: app.py\nsuggested_hardware: {SUGGESTED[hardware]}\n", 1)
    needs = (space / "requirements.txt").read_text(encoding="utf-8")
    needs = re.sub(r"^torch\b.*$", TORCH[hardware], needs, flags=re.M)
    for name, text in {**TOP, "README.md": card, "requirements.txt": needs}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not _git(path, folder))


def _clear(folder: Path) -> None:
    """An empty folder, but for .git."""
    found = {path.name for path in folder.iterdir()} - {".git"} if folder.is_dir() else set()
    if folder.exists() and not folder.is_dir():
        raise WorkbenchError(f"{folder.name} is a file", expected="a folder")
    card = folder / "README.md"
    ours = not found or (card.is_file() and "sdk: gradio" in card.read_text(encoding="utf-8", errors="replace"))
    if not ours or (other := sorted(found - WRITTEN)):
        named = "no card of a Space" if not ours else f"{other[0]!r}"
        raise WorkbenchError(
            f"The folder {folder.name!r} has {named}", expected="a new folder, a clone of a Space, or an earlier build",
            remedy="Nothing was changed. Name another folder",
        )  # fmt: skip
    for name in found:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _git(path: Path, folder: Path) -> bool:
    return path.relative_to(folder).parts[0] == ".git"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.space.build", description="Write the folder of a Space.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hardware", choices=tuple(TORCH), default="cpu", help="what the Space will run on")
    given = parser.parse_args()
    try:
        files = build(given.folder, given.hardware)
    except WorkbenchError as error:
        parser.exit(2, f"{error}\n")
    size = sum((given.folder / path).stat().st_size for path in files)
    print(f"{given.folder}: {len(files)} files, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
