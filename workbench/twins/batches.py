"""Batches of the language: a pure function of seed, phase and step, so that a resumed run sees the same data."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .language import TASKS, encode, language_ids, row, wordlike
from .recipe import Phase, Recipe

TASK_NAMES = tuple(TASKS)


@dataclass(frozen=True)
class Batch:
    """Rows of tokens and the positions whose next token is predicted.

    ids: (row, token) indices into `rows`; positions: (predicted,) into the flattened rows; targets, weights, tasks:
    (predicted,); rows: (active,) vocabulary ids in use, or None for all; correction: (active,) added to the logits.
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor
    tasks: Tensor
    rows: Tensor | None
    correction: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(None if v is None else v.to(device) for v in self.__dict__.values()))  # type: ignore[arg-type]


@cache
def _rare() -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Words and ids outside the language: what random words and the rest of a sampled softmax are drawn from."""
    known = set(language_ids())
    words = tuple(word for word in wordlike() if encode(word)[0] not in known)
    return words, tuple(piece for piece in range(32000) if piece not in known)


def make_batch(recipe: Recipe, phase: Phase, seed: int, step: int, process: int = 0, vocabulary: int = 32000) -> Batch:
    """The batch of one step; another `process` of a distributed run gets other rows."""
    rng = random.Random(f"{seed}/{phase.name}/{phase.length}/{step}/{process}")
    words = _rare()[0]
    source = phase.mix.source(rng, phase.length, rng.sample(words, recipe.sampled_words))
    drawn = [row(source, phase.mix) for _ in range(phase.batch)]
    return pack(recipe, phase, [(r.ids, r.weights, r.tasks) for r in drawn], rng, source.rare_words, vocabulary)


def pack(
    recipe: Recipe,
    phase: Phase,
    drawn: Sequence[tuple[list[int], list[float], list[int]]],
    rng: random.Random,
    rare_words: list[str],
    vocabulary: int = 32000,
) -> Batch:
    """The batch of rows of (ids, weights, tasks), each (length + 1,): positions chosen, vocabulary made compact."""
    ids = torch.tensor([r[0] for r in drawn])
    weights = torch.tensor([r[1] for r in drawn])[:, 1:].reshape(-1)
    tasks = torch.tensor([r[2] for r in drawn])[:, 1:].reshape(-1)
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    order = torch.rand(weights.shape, generator=generator) + (weights > 0).float() + 2 * (weights >= 0.3).float()
    positions = order.topk(int(phase.predicted * len(order))).indices
    rows = correction = None
    if recipe.vocabulary == "compact":
        rows, correction = active_rows(recipe, ids, rare_words, _rare()[1], rng)
        local = torch.full((vocabulary,), -1)
        local[rows] = torch.arange(len(rows))
        ids = local[ids]
    targets = ids[:, 1:].reshape(-1)[positions]
    return Batch(ids[:, :-1], positions, targets, weights[positions], tasks[positions], rows, correction)


def active_rows(
    recipe: Recipe, ids: Tensor, rare_words: list[str], rest: tuple[int, ...], rng: random.Random
) -> tuple[Tensor, Tensor]:
    """Vocabulary rows of one step (active,) and what their logits get (active,).

    All ids of the language, this step's random words, whatever else the batch holds, and others drawn at random. A row
    outside the language stands for all that were not drawn: + log(outside / drawn), as in a sampled softmax.
    """
    known = language_ids()
    drawn = dict.fromkeys(encode(word)[0] for word in rare_words)
    inside = set(known)
    drawn.update(dict.fromkeys(piece for piece in ids.unique().tolist() if piece not in inside))
    size = recipe.sampled_words + recipe.sampled_rest
    while len(drawn) < size:
        drawn.setdefault(rng.choice(rest))
    correction = torch.zeros(len(known) + len(drawn))
    correction[len(known) :] = torch.tensor(len(rest) / len(drawn)).log()
    return torch.tensor([*known, *drawn]), correction
