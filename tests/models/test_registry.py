"""Names of models and how they are understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import UnknownModelError
from workbench.models import SPECS, assets_folder, resolve


def test_registered_models() -> None:
    assert list(SPECS) == ["v0.1", "v0.2", "twin-v0.1", "twin-v0.2"]
    for name in ("v0.1", "v0.2"):
        real, twin = SPECS[name], SPECS[f"twin-{name}"]
        assert real.revision is not None
        assert len(real.revision) == 40
        assert real.theta == twin.theta
        assert (real.window is None) == (twin.window is None)
        assert resolve(real.location) is real
        assert twin.location == f"twins/{name}"
    assert (SPECS["v0.1"].window, SPECS["v0.1"].theta, SPECS["v0.1"].trained_context) == (4096, 1e4, 8192)
    assert (SPECS["v0.2"].window, SPECS["v0.2"].theta, SPECS["v0.2"].trained_context) == (None, 1e6, 32768)


def test_folders_and_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(tmp_path).kind == resolve(str(tmp_path)).kind == "folder"
    spec = resolve("some-org/some.model-7B")
    assert (spec.kind, spec.location, spec.revision, spec.checked) == ("hub", "some-org/some.model-7B", None, False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some-org" / "some.model-7B").mkdir(parents=True)
    assert resolve("some-org/some.model-7B").kind == "folder"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("twin-v02", 'The nearest is "twin-v0.2"'),
        ("v0.3", '"v0.1"'),
        ("mistralai", "a hub id such as org/model"),
        ("", "not a model known here"),
        ("a/b/c", "not a model known here"),
        ("org/..", "not a model known here"),
        ("./nowhere", "no folder"),
        ("/nowhere/at/all", "no folder"),
        (Path("nowhere"), "no folder"),
    ],
)
def test_unknown_names_get_a_sentence(name: str | Path, sentence: str) -> None:
    with pytest.raises(UnknownModelError, match=sentence):
        resolve(name)


def test_assets_folder_in_a_checkout_and_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WORKBENCH_ASSETS", raising=False)
    assert assets_folder() == Path(__file__).resolve().parents[2] / "assets"
    monkeypatch.setenv("WORKBENCH_ASSETS", str(tmp_path))
    assert assets_folder() == tmp_path
