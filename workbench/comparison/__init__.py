"""Two models side by side: their answers aligned, where they part and how, and every captured part as a difference."""

from workbench.comparison.alignment import Alignment, align
from workbench.comparison.both import compare, measured_pair
from workbench.comparison.changes import Changes, changes, changing
from workbench.comparison.comparison import Comparison
from workbench.comparison.divergence import Divergence, measure, measuring
from workbench.comparison.factorial_result import Factorial
from workbench.comparison.factorial_run import FactorialRun, factorial
from workbench.comparison.lens import settling
from workbench.comparison.parting import Parting
from workbench.comparison.text_result import TextComparison
from workbench.comparison.texts import compare_texts, comparing_texts

__all__ = ["Alignment", "Changes", "Comparison", "Divergence", "Factorial", "FactorialRun", "Parting",
           "TextComparison", "align", "changes", "changing", "compare", "compare_texts", "comparing_texts", "factorial",
           "measure", "measured_pair", "measuring", "settling"]  # fmt: skip
