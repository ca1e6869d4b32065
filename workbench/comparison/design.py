"""The cells of a factorial: weights, window and theta of one model or of another, in every combination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from workbench.comparison.effects import corners
from workbench.errors import ComparisonError
from workbench.models.architecture import theta_text

if TYPE_CHECKING:
    from workbench.model import Model


@dataclass(frozen=True)
class Factor:
    """ "weights", "window" or "theta", and its level in a and in b, in words."""

    name: str
    a: str
    b: str

    def level(self, which: str) -> str:
        """The level "a" or "b"."""
        return self.a if which == "a" else self.b


@dataclass(frozen=True)
class Design:
    """``factors`` that differ; ``dropped``, a sentence for each that does not; ``models`` by cell ("aba": the levels of
    the factors in their order), in the order of `effects.corners`. The models share their weights where a cell says
    so: `Model.switched` copies nothing."""

    factors: tuple[Factor, ...]
    dropped: tuple[str, ...]
    models: dict[str, Model]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(factor.name for factor in self.factors)

    def described(self, cell: str) -> str:
        """ "weights of twin-v0.1, window none, theta 1e4"."""
        words = [
            f"{one.name}{' of' if one.name == 'weights' else ''} {one.level(level)}"
            for one, level in zip(self.factors, cell, strict=True)
        ]
        return ", ".join(words)


def design(a: Model, b: Model) -> Design:
    """The `Design` of two models, or of a model and its switched self. Raises ComparisonError for models that do not
    share a tokenizer, or where neither weights nor window nor theta differ."""
    for model in (a, b):
        if not hasattr(model, "switched"):
            raise ComparisonError(f"A {type(model).__name__} was given", expected="two models of wb.load")
    if a.tokenizer.sha256 != b.tokenizer.sha256 or a.vocab_size != b.vocab_size:
        raise ComparisonError(
            f"{a.name} and {b.name} have different tokenizers", expected="two models with the same vocabulary",
            remedy="Compare models that share a tokenizer",
        )  # fmt: skip
    names = _names(a, b)
    every = [
        (Factor("weights", *names), not same_weights(a, b)),
        (Factor("window", _tokens(a.window), _tokens(b.window)), a.window != b.window),
        (Factor("theta", theta_text(a.theta), theta_text(b.theta)), a.theta != b.theta),
    ]
    factors = tuple(factor for factor, differs in every if differs)
    if not factors:
        raise ComparisonError(
            f"{names[0]} and {names[1]} have the same weights, window and theta", expected="two models that differ",
            remedy="Switch one: model.switched(window=None) or model.switched(theta=1e6)",
        )  # fmt: skip
    dropped = []
    for factor, differs in every:
        if not differs:
            both = {
                "weights": "the same weights", "window": f"window {factor.a}", "theta": f"theta {factor.a}",
            }[factor.name]  # fmt: skip
            dropped.append(f"Both have {both}: {factor.name} is no factor here.")
    models = {}
    for cell in corners(len(factors)):
        level = dict(zip((one.name for one in factors), cell, strict=True))
        source = {name: b if level.get(name) == "b" else a for name in ("weights", "window", "theta")}
        models[cell] = source["weights"].switched(window=source["window"].window, theta=source["theta"].theta)
    return Design(factors, tuple(dropped), models)


def same_weights(a: Model, b: Model) -> bool:
    """Whether two models compute with the same numbers: one and the same module's, or files of equal hash loaded
    alike. A hash of headers alone (large files) does not tell; then the numbers are compared until two differ. Heads
    that are switched off belong to the weights here."""
    if a.switches.get("silent", []) != b.switches.get("silent", []):
        return False
    if (a.base or a).module is (b.base or b).module:
        return True
    loaded = [(one.weights_hash, one.dtype, one.quantization) for one in (a, b)]
    if loaded[0] != loaded[1]:
        return False
    if a.weights_hash.startswith("sha256:"):
        return True
    pairs = zip(a.module.parameters(), b.module.parameters(), strict=True)
    for one, other in pairs:
        if one.is_meta or other.is_meta:  # offloaded: known by where they come from only
            return (a.spec.location, a.revision) == (b.spec.location, b.revision)
        if not torch.equal(one, other.to(one.device)):
            return False
    return True


def _names(a: Model, b: Model) -> tuple[str, str]:
    """Short names of the weights' owners."""
    found = [str((one.base or one).name).rstrip("/").rsplit("/", 1)[-1] for one in (a, b)]
    for i, one in enumerate((a, b)):
        found[i] += " with silent heads" if one.switches.get("silent") else ""
    return (found[0], found[1]) if found[0] != found[1] else (f"the first {found[0]}", f"the second {found[1]}")


def _tokens(window: int | None) -> str:
    return "none" if window is None else str(window)
