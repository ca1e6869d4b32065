"""What a model needs before any of it is loaded: bytes by part, the longest context that fits, and where it fits."""

from workbench.models.shape import ModelShape
from workbench.planning.accelerators import ACCELERATORS, Accelerator
from workbench.planning.cards import CARDS, Card
from workbench.planning.memory import MemoryPlan, memory

__all__ = ["ACCELERATORS", "CARDS", "Accelerator", "Card", "MemoryPlan", "ModelShape", "memory"]
