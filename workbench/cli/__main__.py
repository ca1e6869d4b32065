"""`python -m workbench.cli`, as launchers of several processes need it."""

from workbench.cli import main

if __name__ == "__main__":
    main()
