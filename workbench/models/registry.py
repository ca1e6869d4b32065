"""The models that have a name here, and how any other name is understood."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import UnknownModelError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class ModelSpec:
    """A model and what is known about it before it is loaded.

    ``location`` is a hub id for kind "hub", a folder for "twin" and "folder". ``window`` (tokens) and ``theta`` are
    what the config must state: None and None mean "unknown, read them from the checkpoint", which ``checked`` False
    says; a checked spec with window None has full attention. ``trained_context`` in tokens, None where unknown.
    """

    name: str
    kind: Literal["hub", "twin", "folder"]
    location: str
    revision: str | None = None
    window: int | None = None
    theta: float | None = None
    trained_context: int | None = None
    title: str = ""
    note: str = ""

    @property
    def checked(self) -> bool:
        """Whether window and theta are known beforehand, so that a checkpoint that differs is refused."""
        return self.theta is not None


def assets_folder() -> Path:
    """The folder of the shipped twins and recorded exchanges: in the checkout, or inside the installed package.

    WORKBENCH_ASSETS in the environment names another one.
    """
    if chosen := os.environ.get("WORKBENCH_ASSETS"):
        return Path(chosen)
    package = Path(__file__).resolve().parents[1]
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


def _twin(version: str, window: int | None, theta: float, trained_context: int, mirrors: str) -> ModelSpec:
    return ModelSpec(
        name=f"twin-{version}",
        kind="twin",
        location=f"twins/{version}",
        window=window,
        theta=theta,
        trained_context=trained_context,
        title=f"Twin of {version}",
        note=f"A small trained model with the architecture switches of {mirrors}, not its weights.",
    )


SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="v0.1",
            kind="hub",
            location="mistralai/Mistral-7B-Instruct-v0.1",
            revision="ec5deb64f2c6e6fa90c1abf74a91d5c93a9669ca",
            window=4096,
            theta=1e4,
            trained_context=8192,
            title="Mistral 7B Instruct v0.1",
            note="Trained context from the Mistral 7B paper; no config field states it.",
        ),
        ModelSpec(
            name="v0.2",
            kind="hub",
            location="mistralai/Mistral-7B-Instruct-v0.2",
            revision="63a8b081895390a26e140280378bc85ec8bce07a",
            window=None,
            theta=1e6,
            trained_context=32768,
            title="Mistral 7B Instruct v0.2",
            note="Trained context from the model card.",
        ),
        _twin("v0.1", window=256, theta=1e4, trained_context=512, mirrors="Mistral 7B Instruct v0.1"),
        _twin("v0.2", window=None, theta=1e6, trained_context=2048, mirrors="Mistral 7B Instruct v0.2"),
    )
}


def resolve(name: str | Path) -> ModelSpec:
    """The spec of a registered name, a local folder, or a hub id such as "org/model".

    A folder that exists wins over a hub id of the same spelling. Raises UnknownModelError, which names near misses.
    Nothing is read or downloaded here.
    """
    text = str(name).strip()
    if text in SPECS:
        return SPECS[text]
    for spec in SPECS.values():
        if spec.kind == "hub" and spec.location.lower() == text.lower():
            return spec
    path = Path(text).expanduser()
    if text and path.is_dir():
        return ModelSpec(name=text, kind="folder", location=str(path), title=path.resolve().name)
    looks_local = isinstance(name, Path) or text.startswith((".", "/", "~")) or text.endswith("/") or "\\" in text
    if not looks_local and _HUB_ID.fullmatch(text) and ".." not in text:
        return ModelSpec(name=text, kind="hub", location=text, title=text.split("/")[1])
    known = ", ".join(f'"{known}"' for known in SPECS)
    if looks_local:
        raise UnknownModelError(
            f'There is no folder "{text}"', expected="a folder with config.json and safetensors files"
        )
    near = difflib.get_close_matches(text, [*SPECS, *(spec.location for spec in SPECS.values())], n=2, cutoff=0.5)
    matches = " or ".join(f'"{match}"' for match in near)
    raise UnknownModelError(
        f'"{text}" is not a model known here',
        expected=f"{known}, a hub id such as org/model, or a folder",
        remedy=f"The nearest is {matches}" if near else "",
    )
