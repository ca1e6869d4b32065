"""The bundle: every module is in it, in order, and it is safe inside a script element."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from workbench.views.bundle import FOLDER, MODULES, bundle, style_sheet


def test_every_module_of_the_folder_is_bundled() -> None:
    files = {path.stem for path in FOLDER.glob("*.js")} - {"report", "charts", "resultpage"}
    assert files == set(MODULES)
    text = bundle()
    for name in MODULES:
        assert f"modules.{name} = (() => {{" in text
    assert "import {" not in text
    assert "\nexport " not in text


def test_it_cannot_close_its_script_element() -> None:
    for host in (["report.js"], ["charts.js", "resultpage.js"]):
        text = bundle([FOLDER / name for name in host])
        assert "</script" not in text.lower()
        assert "<!--" not in text


def test_nothing_in_it_asks_another_host() -> None:
    text = bundle([FOLDER / name for name in ("report.js", "charts.js", "resultpage.js")]) + style_sheet()
    addresses = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in addresses
    assert "https://" not in addresses
    assert "@import" not in text
    assert "url(" not in text


def test_an_import_of_a_later_module_is_refused(tmp_path: Path) -> None:
    module = tmp_path / "early.js"
    module.write_text('import { start } from "./late.js";\nexport const x = 1;\n')
    with pytest.raises(ValueError, match=r"late\.js"):
        bundle([module])


@pytest.mark.skipif(shutil.which("node") is None, reason="node checks the syntax; the browser tests run it too")
def test_it_parses(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.js"):
        subprocess.run(["node", "--check", str(path)], check=True)
    whole = tmp_path / "bundle.js"
    whole.write_text(bundle([FOLDER / "report.js"]))
    subprocess.run(["node", "--check", str(whole)], check=True)
