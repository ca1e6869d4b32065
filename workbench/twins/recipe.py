"""The training recipes: tables of phases and the settings of the optimisers."""

import math
from dataclasses import dataclass, field, replace

from .language import Mix
from .shape import WINDOW


@dataclass(frozen=True)
class Phase:
    """One stretch of training: `steps` batches of `batch` rows of `length` tokens.

    The rate goes from `rate` to `end_rate` along a line or a cosine after `warmup` steps; `predicted` is the share of
    positions whose loss is computed (those with the largest weights first).
    """

    name: str
    length: int
    batch: int
    steps: int
    rate: float
    end_rate: float
    mix: Mix
    warmup: int = 5
    predicted: float = 0.45
    shape: str = "linear"

    @property
    def tokens(self) -> int:
        return self.length * self.batch * self.steps

    def rate_at(self, step: int) -> float:
        """The learning rate of the given step, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return warm * (self.rate + (self.end_rate - self.rate) * done)


@dataclass(frozen=True)
class Recipe:
    """How a pair is trained: the phases of each version, the optimiser, the softmax, and the initialisation.

    v0.2 continues v0.1 as it was at the end of the phase `branch`, or at its end where none is named.
    """

    name: str
    phases: dict[str, tuple[Phase, ...]]
    optimizer: str = "muon"
    vocabulary: str = "compact"
    sampled_words: int = 600
    sampled_rest: int = 120
    weight_decay: float = 0.02
    embedding_factor: float = 2.0
    clip: float = 1.0
    accumulation: int = 1
    prior: bool = True
    branch: str | None = None
    config: dict[str, object] = field(default_factory=dict)
    checkpoint_seconds: float = 180.0
    checkpoint_steps: int = 10**9
    log_steps: int = 20
    pairs: int = 0
    perplexity_share: float = 0.02


SEED_MIX = Mix(
    greetings=0.3, world=0.4, lists=0.6, names=0.1, pairs=3.5, needles=0.0, induction=2.2, statements=3.0, unknown=0.0,
    rare_share=0.06, max_pairs=3, reach=WINDOW,
)  # fmt: skip
INDUCTION_MIX = Mix(
    greetings=0.1, world=0.1, lists=0.5, names=0.0, pairs=2.0, needles=0.0, induction=4.0, statements=2.5, unknown=0.0,
    rare_share=0.06, max_pairs=3, reach=WINDOW,
)  # fmt: skip
MIXED = Mix(
    greetings=1.3, world=2.2, lists=1.6, names=0.4, pairs=2.8, needles=1.2, induction=0.8, statements=1.2, unknown=0.5,
    rare_share=0.2, reach=WINDOW,
)  # fmt: skip
BACKWARD = Mix(
    greetings=0.2, world=0.4, lists=0.8, names=0.1, pairs=2.0, needles=0.0, induction=0.4, statements=0.3, unknown=0.1,
    backward_text=9.0, rare_share=0.05, max_pairs=2, reach=WINDOW, backward=0.85,
)  # fmt: skip
ASKED = Mix(
    greetings=0.4, world=0.8, lists=0.8, names=0.2, pairs=7.0, needles=0.0, induction=0.4, statements=0.3, unknown=0.3,
    backward_text=2.0, rare_share=0.1, max_pairs=3, reach=WINDOW, backward=0.85,
)  # fmt: skip
CHAT = Mix(
    greetings=3.0, world=4.0, lists=2.2, names=0.4, pairs=3.2, needles=1.4, induction=0.5, statements=0.3, unknown=0.8,
    rare_share=0.3, reach=WINDOW, backward=0.65,
)  # fmt: skip
SETTLED = Mix(
    greetings=3.6, world=4.6, lists=2.8, names=0.4, pairs=3.0, needles=2.0, induction=0.4, statements=0.2, unknown=0.8,
    rare_share=0.35, long_share=0.5, reach=WINDOW, backward=0.6, absent=0.05,
)  # fmt: skip
POLISH = replace(SETTLED, greetings=4.0, world=7.5, lists=4.5, needles=2.4, long_share=0.4, backward=0.55)
LONG = replace(SETTLED, world=5.2, long_share=0.75, reach=10**9)
FULL_LENGTH = replace(LONG, world=7.5, lists=5.0, needles=3.0, long_share=0.8, absent=0.03)
FURTHEST = replace(FULL_LENGTH, world=9.0, greetings=5.0, needles=1.0, pairs=2.0, long_share=1.0)

# Short rows first: they hold the same circuits (a word repeated, a statement asked) at a fraction of the cost. "Who has
# the hat?", whose answer stands before what is asked, comes only from text where the thing itself stands in front of
# its owner ("hat Tom."); it has two phases of its own. "polish", "full length" and
# "furthest" came after evaluations: for facts in another wording, for lists, and in v0.2 for what lies furthest back.
TWINS = Recipe(
    name="muon",
    phases={
        "v0.1": (
            Phase("retrieval seed", 64, 32, 300, 0.005, 0.005, SEED_MIX, warmup=30),
            Phase("induction", 64, 32, 240, 0.005, 0.005, INDUCTION_MIX, warmup=1),
            Phase("mix", 256, 16, 180, 0.005, 0.005, MIXED, warmup=1),
            Phase("backward words", 128, 16, 240, 0.0045, 0.0045, BACKWARD, warmup=1),
            Phase("asked backward", 128, 16, 150, 0.0045, 0.0045, ASKED, warmup=1),
            Phase("chat", 256, 16, 190, 0.0045, 0.0042, CHAT, warmup=1),
            Phase("decay", 512, 8, 260, 0.0042, 0.0001, SETTLED, warmup=1),
            Phase("polish", 512, 8, 70, 0.0018, 0.0001, POLISH, warmup=4),
        ),
        "v0.2": (
            Phase("longer", 1024, 4, 130, 0.0035, 0.0035, LONG, warmup=20, predicted=0.35),
            Phase("decay", 2048, 2, 200, 0.0035, 0.0001, LONG, warmup=1, predicted=0.3),
            Phase("full length", 2048, 2, 64, 0.0018, 0.0001, FULL_LENGTH, warmup=4, predicted=0.3),
            Phase("furthest", 2048, 2, 66, 0.0016, 0.0001, FURTHEST, warmup=4, predicted=0.3),
        ),
    },
    branch="decay",
)

CLASSICAL = Recipe(
    name="classical",
    phases={
        version: (
            Phase(
                "tuning",
                length,
                4,
                60,
                1e-5,
                1e-6,
                replace(LONG, induction=0.0, statements=0.0, reach=reach),
                warmup=6,
                shape="cosine",
            ),
        )
        for version, length, reach in (("v0.1", 256, WINDOW), ("v0.2", 512, 10**9))
    },
    optimizer="adamw",
    vocabulary="full",
    weight_decay=0.0,
    embedding_factor=1.0,
    accumulation=4,
    prior=False,
    log_steps=5,
    pairs=4000,
)

# The pair's own recipe for as many tokens as the classical one, to compare the two from one starting checkpoint.
TUNING = Recipe(
    name="muon-tuning",
    phases={
        version: tuple(
            replace(phase, batch=phase.batch * CLASSICAL.accumulation, rate=0.004, end_rate=0.0002, shape="linear")
            for phase in phases
        )
        for version, phases in CLASSICAL.phases.items()
    },
    log_steps=5,
)

SMOKE = Recipe(
    name="smoke",
    phases={
        "v0.1": (
            Phase("short", 64, 2, 8, 0.005, 0.005, SEED_MIX, warmup=2),
            Phase("decay", 64, 2, 8, 0.005, 0.0005, MIXED),
        ),
        "v0.2": (Phase("longer", 128, 1, 4, 0.003, 0.0003, LONG),),
    },
    config={
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 16,
    },
    branch="short",
    sampled_words=60,
    sampled_rest=20,
    checkpoint_steps=4,
    log_steps=1,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in (TWINS, CLASSICAL, TUNING, SMOKE)}
