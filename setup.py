"""What pyproject.toml cannot say: an installed package carries the twins and recordings of assets/ inside itself."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ASSETS = Path(__file__).parent / "assets"


class BuildWithAssets(build_py):
    """Copies assets/ to workbench/assets, where `assets_folder` looks first; an editable install needs none."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and ASSETS.is_dir():
            shutil.copytree(ASSETS, Path(self.build_lib, "workbench", "assets"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithAssets})
