"""Two models side by side: their answers aligned, where they part and how, and every captured part as a difference."""

from workbench.comparison.alignment import Alignment, align
from workbench.comparison.both import compare, measured_pair
from workbench.comparison.comparison import Comparison
from workbench.comparison.divergence import Divergence, measure, measuring
from workbench.comparison.lens import settling
from workbench.comparison.parting import Parting

__all__ = ["Alignment", "Comparison", "Divergence", "Parting", "align", "compare", "measure", "measured_pair",
           "measuring", "settling"]  # fmt: skip
