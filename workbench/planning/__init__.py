"""What a model needs before any of it is loaded: bytes by part, the longest context that fits, and where it fits."""

from workbench.planning.cards import CARDS, Card
from workbench.planning.memory import MemoryPlan, memory
from workbench.planning.shape import ModelShape

__all__ = ["CARDS", "Card", "MemoryPlan", "ModelShape", "memory"]
