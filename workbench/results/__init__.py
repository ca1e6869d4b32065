"""The manners that all results share: one line, a table, HTML, a file and back."""

from workbench.results.result import Result

__all__ = ["Result"]
