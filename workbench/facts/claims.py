"""What is said about the two models, as data, each with the check that was run and what it found.

Checks run on what is at hand: arithmetic on the architecture, the reference tokenizer, and the config of a loaded v0.1
or v0.2 where one is given, else the published configs as this project pins them. What only a document could settle is
called unverifiable. "Model card" is the card on the hub, "catalog" a third-party model catalogue, "cloud card" a cloud
vendor's, "paper-style note" an unsourced training description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from workbench.models.architecture import theta_text
from workbench.models.registry import SPECS
from workbench.models.shape import ModelShape
from workbench.models.tokenizer import Tokenizer, v1_tokenizer

if TYPE_CHECKING:
    from workbench.model import Model

GIB = 2**30


@dataclass
class Evidence:
    """What the checks look at. ``config(name)``: (window, theta, context) of "v0.1" or "v0.2", and its source."""

    models: dict[str, Model] = field(default_factory=dict)
    tokenizer: Tokenizer = field(default_factory=v1_tokenizer)

    def config(self, name: str) -> tuple[int | None, float, int, str]:
        if (model := self.models.get(name)) is not None:
            return model.window, model.theta, model.context, f"the loaded config of {name}"
        spec, shape = SPECS[name], ModelShape.of(name)
        assert spec.theta is not None
        revision = (spec.revision or "")[:8]
        return spec.window, spec.theta, shape.context, f"the published config of {name} at {revision}, as pinned here"


@dataclass(frozen=True)
class Claim:
    """``said_by`` whom, the ``text`` in our words, and ``check``: evidence -> (verdict, what was found)."""

    said_by: str
    text: str
    check: Callable[[Evidence], tuple[str, str]]

    @property
    def name(self) -> str:
        """The check that runs."""
        return self.check.__name__.removeprefix("_")


@dataclass(frozen=True)
class Finding:
    """A claim with its ``verdict`` and ``evidence``."""

    claim: Claim
    verdict: str
    evidence: str


def check_claims(models: Iterable[Model] = ()) -> tuple[Finding, ...]:
    """Every claim, checked. ``models``: loaded ones; those named v0.1 or v0.2 are looked at instead of the pinned
    configs."""
    evidence = Evidence({model.name: model for model in models})
    return tuple(Finding(claim, *claim.check(evidence)) for claim in CLAIMS)


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """By claim: said_by, verdict, evidence and check."""
    rows = [(f.claim.text, f.claim.said_by, f.verdict, f.evidence, f.claim.name) for f in findings]
    return pd.DataFrame(rows, columns=["claim", "said_by", "verdict", "evidence", "check"]).set_index("claim")


def _parameters(_: Evidence) -> tuple[str, str]:
    count = ModelShape.of("v0.2").parameters
    return "true", f"{count:,} weights by the shapes of all tensors"


def _parameters_rounded(_: Evidence) -> tuple[str, str]:
    count = ModelShape.of("v0.2").parameters
    return ("true" if f"{count / 1e9:.1f}" == "7.3" else "rounded up"), f"{count:,}: {count / 1e9:.2f} billion"


def _window(evidence: Evidence) -> tuple[str, str]:
    window, _, _, source = evidence.config("v0.2")
    return ("false" if window is None else "true"), f"sliding_window is {_null(window)} in {source}"


def _no_window(evidence: Evidence) -> tuple[str, str]:
    window, theta, _, source = evidence.config("v0.2")
    right = window is None and theta == 1e6
    return ("true" if right else "false"), f"sliding_window {_null(window)}, theta {theta_text(theta)} in {source}"


def _both_windows(evidence: Evidence) -> tuple[str, str]:
    window, _, _, source = evidence.config("v0.2")
    return "contradicts itself", f"only one can hold: sliding_window is {_null(window)} in {source}"


def _grouped_queries(_: Evidence) -> tuple[str, str]:
    shape = ModelShape.of("v0.2")
    rows = shape.kv_heads * shape.head_dim
    right = shape.kv_heads < shape.heads
    return ("true" if right else "false"), f"{shape.kv_heads} of {shape.heads}: k_proj is {rows} x {shape.hidden}"


def _byte_fallback(evidence: Evidence) -> tuple[str, str]:
    known = evidence.tokenizer.vocabulary
    count = sum(f"<0x{byte:02X}>" in known for byte in range(256))
    right = count == 256 and len(known) == 32000
    return ("true" if right else "false"), f"{len(known)} pieces, {count} of them bytes, in the v1 tokenizer"


def _instruction_marks(evidence: Evidence) -> tuple[str, str]:
    opening, closing = (len(evidence.tokenizer.encode(text)) for text in ("[INST]", "[/INST]"))
    special = opening == closing == 1
    return ("true" if special else "false in v1"), f"[INST] and [/INST] are {opening} and {closing} ordinary pieces"


def _one_beginning(evidence: Evidence) -> tuple[str, str]:
    from workbench.chat.encoding import encode

    turns = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
    count = encode(evidence.tokenizer, turns).ids.count(1)
    often = "once" if count == 1 else f"{count} times"
    return ("true" if count == 1 else "false"), f"id 1 stands {often} in the reference ids of two turns"


def _contexts(evidence: Evidence) -> tuple[str, str]:
    both = {name: evidence.config(name)[2] for name in ("v0.1", "v0.2")}
    trained = {name: SPECS[name].trained_context for name in both}
    return "partly", (
        f"both configs say {both['v0.1']} and {both['v0.2']} positions; {trained['v0.1']} is the length v0.1 was "
        "trained with by its paper, in no config field"
    )


def _based_on(evidence: Evidence) -> tuple[str, str]:
    pair = [evidence.models[name] for name in ("v0.1", "v0.2") if name in evidence.models]
    if len(pair) < 2 or any(model.quantization for model in pair):
        return "stale card text", "other weights, theta and window; a weight distance needs both checkpoints here"
    distance, cosine = _apart(*pair)
    verdict = "supported by the weights" if cosine > 0.5 else "not supported by the weights"
    return verdict, (
        f"the weights lie {100 * distance:.1f} % of v0.1's length apart, cosine {cosine:.3f} (1: the same direction, "
        "near 0: trained apart); theta and window differ"
    )


@torch.no_grad()
def _apart(first: Model, second: Model) -> tuple[float, float]:
    """Distance of all weights in units of the first's length, and their cosine; a block of rows at a time."""
    others = dict(second.module.named_parameters())
    products = torch.zeros(3, dtype=torch.float64)  # a.a, b.b, a.b
    for name, weights in first.module.named_parameters():
        rows = zip(weights.flatten().split(2**22), others[name].flatten().split(2**22), strict=True)
        for a, b in rows:
            x, y = a.to("cpu", torch.float64), b.to("cpu", torch.float64)
            products += torch.stack([x @ x, y @ y, x @ y])
    one, two, both = products.tolist()
    return max(0.0, one + two - 2 * both) ** 0.5 / one**0.5, both / (one * two) ** 0.5


def _training_hardware(_: Evidence) -> tuple[str, str]:
    needed = 6 * ModelShape.of("v0.2").parameters * 250e9  # Kaplan et al. 2020: 6 FLOP a weight and token
    peak = 16 * 312e12 * 21 * 86_400  # an A100's peak in bf16, three weeks
    verdict = "impossible" if needed > peak else "possible"
    return verdict, f"6 N D = {needed:.3g} FLOP; 16 A100 at their peak for three weeks give {peak:.3g}"


def _training_recipe(_: Evidence) -> tuple[str, str]:
    return "unverifiable", "data mixture, learning rate, batch and scores leave no trace in the published files"


def _release_date(_: Evidence) -> tuple[str, str]:
    return (
        "false",
        "public since 11 to 12 December 2023 by its first revisions (read, not run)",
    )


def _file_sizes(_: Evidence) -> tuple[str, str]:
    shape = ModelShape.of("v0.2")
    half = 2 * shape.parameters
    matrices = shape.layers * sum(shape.matrices.values())
    four = matrices // 2 + 4 * matrices // 64 + 2 * (shape.parameters - matrices)
    right = 14e9 <= half <= 15e9 and 4e9 <= four <= 5e9
    return ("true" if right else "false"), f"16 bit {half / 1e9:.2f} GB; 4 bit (NF4, blocks of 64) {four / 1e9:.2f} GB"


def _sampling_defaults(evidence: Evidence) -> tuple[str, str]:
    if (model := evidence.models.get("v0.2")) is not None:
        given = model.module.generation_config
        return (
            "that vendor's defaults",
            f"the loaded generation config has temperature {given.temperature}, top_p {given.top_p}",
        )
    return "that vendor's defaults", "no generation config was published with these values (read, not run)"


def _popularity(_: Evidence) -> tuple[str, str]:
    return "unverifiable", "downloads and likes change by the day and are left out here"


def _null(value: Any) -> str:
    return "null" if value is None else str(value)


CLAIMS: tuple[Claim, ...] = (
    Claim("paper-style note", "v0.2 has about 7.2 billion parameters", _parameters),
    Claim("catalog", "v0.2 has 7.3 billion parameters", _parameters_rounded),
    Claim("paper-style note, model card", "v0.2 uses sliding-window attention", _window),
    Claim("catalog, cloud card", "v0.2 has no sliding window and theta 1e6", _no_window),
    Claim("cloud card", "v0.2 has no sliding window, and has one", _both_windows),
    Claim("all", "Grouped-query attention", _grouped_queries),
    Claim("all", "A byte-fallback BPE tokenizer of 32 000 pieces", _byte_fallback),
    Claim("catalog", "[INST] and [/INST] are special tokens", _instruction_marks),
    Claim("model card", "Only the first instruction begins with BOS", _one_beginning),
    Claim("cloud card", "32k of context against 8k in v0.1", _contexts),
    Claim("model card", "v0.2 is based on v0.1", _based_on),
    Claim("paper-style note", "Trained on 250B tokens with 16 A100 in three weeks", _training_hardware),
    Claim("paper-style note", "Data mixture, learning rate 2e-5, batch 2048, length 4096, HELM", _training_recipe),
    Claim("catalog", "Released on 15 January 2024", _release_date),
    Claim("catalog", "fp16 takes 14 to 15 GB, 4 bit 4 to 5 GB", _file_sizes),
    Claim("cloud card", "temperature 0.6, top_p 0.9, max_new_tokens 200", _sampling_defaults),
    Claim("hub snapshot", "Downloads, likes and discussions", _popularity),
)  # fmt: skip
