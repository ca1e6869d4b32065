"""`python -m workbench.twins`: the same commands as `workbench twins`."""

from .commands import app

if __name__ == "__main__":
    app(prog_name="workbench twins")
