"""From what was captured to an `Inspection`: names, numbers and provenance put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.capture.attention import AttentionResult
from workbench.capture.attribution import AttributionResult
from workbench.capture.kv_cache import KVCacheResult
from workbench.capture.lens import LensResult
from workbench.capture.lens_blocks import LensBlocks
from workbench.capture.recording import Captured
from workbench.capture.request import Capture
from workbench.capture.tuned_lens import TunedLens
from workbench.chat.encoding import EncodedPrompt
from workbench.chat.guardrails import safe
from workbench.generation.decoding import TOP, Step
from workbench.inspection.inspection import Inspection
from workbench.inspection.provenance import as_said, as_settings, describe_model, provenance
from workbench.inspection.record import Record
from workbench.models.loading import LoadedModel


def assemble(
    model: LoadedModel, prompt: EncodedPrompt, steps: Sequence[Step], captured: Captured, capture: Capture,
    settings: dict[str, Any], timings: dict[str, float], finish_reason: str | None,
) -> Inspection:  # fmt: skip
    """The inspection of one run; ``steps`` is empty for a prompt that was only read."""
    ids = np.array([*prompt.ids, *(step.token_id for step in steps)], np.int32)
    arrays: dict[str, np.ndarray] = {"ids": ids} | _step_arrays(steps)
    parts = (
        ("attention", captured.attention), ("lens", captured.lens), ("lens", captured.lens_blocks),
        ("attribution", captured.attribution), ("kv_cache", captured.kv_cache),
    )  # fmt: skip
    for prefix, part in parts:
        arrays |= {f"{prefix}.{name}": values for name, values in _arrays(part).items()}
    special = {model.tokenizer.bos_id, model.tokenizer.eos_id}
    spans, text = _spans(prompt, steps)
    record = Record(
        model=describe_model(model),
        provenance=provenance(
            model,
            prompt.ids,
            settings | {"capture": as_settings(capture), "prompt": as_said(prompt), "safe_prompt": safe(prompt.source)},
        ),
        prompt_length=len(prompt.ids),
        tokens=[*prompt.tokens, *(step.piece for step in steps)],
        roles=[*prompt.roles, *("special" if step.token_id in special else "assistant" for step in steps)],
        spans=spans,
        text=text,
        step_texts=[step.text for step in steps],
        finish_reason=finish_reason,
        given=sum(step.given for step in steps),
        pieces=_pieces(model, arrays),
        attention=_attention_facts(model, captured.attention, capture),
        lens=_lens_facts(captured, capture),
        timings=timings,
    )
    return Inspection(record, arrays)


def _step_arrays(steps: Sequence[Step]) -> dict[str, np.ndarray]:
    kinds = {"position": np.int32, "token_id": np.int32, "logprob": np.float32, "rank": np.int32,
             "entropy": np.float32, "seconds": np.float32}  # fmt: skip
    found: dict[str, np.ndarray] = {
        f"steps.{name}": np.array([getattr(step, name) for step in steps], kind) for name, kind in kinds.items()
    }
    shape = (len(steps), TOP)
    found["steps.top_ids"] = np.array([[top[0] for top in step.top] for step in steps], np.int32).reshape(shape)
    logprobs = np.array([[top[2] for top in step.top] for step in steps], np.float32)
    return found | {"steps.top_logprobs": logprobs.reshape(shape)}


def _arrays(
    part: AttentionResult | LensResult | LensBlocks | AttributionResult | KVCacheResult | None,
) -> dict[str, np.ndarray]:
    if part is None:
        return {}
    found = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    named = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return named | {
        name: values for part in ("statistics", "shares", "errors") for name, values in (found.get(part) or {}).items()
    }


def _spans(prompt: EncodedPrompt, steps: Sequence[Step]) -> tuple[list[tuple[int, int] | None], str]:
    """Character ranges of all tokens in prompt text + reply; a token whose character is incomplete shares the next."""
    spans, text = list(prompt.spans), prompt.text
    waiting = 0
    for step in steps:
        waiting += 1
        if step.text:
            spans += [(len(text), len(text) + len(step.text))] * waiting
            text += step.text
            waiting = 0
    return spans + [None] * waiting, text


_IDS = ("ids", "top_ids", "token_id", "token_ids", "target_ids")


def _pieces(model: LoadedModel, arrays: dict[str, np.ndarray]) -> dict[int, str]:
    """The visible piece of every token id that occurs."""
    names = [name for name in arrays if name.rsplit(".", 1)[-1] in _IDS]
    used = np.unique(np.concatenate([arrays[name].reshape(-1) for name in names]))
    known = [int(i) for i in used if i >= 0]
    return dict(zip(known, model.tokenizer.pieces(known), strict=True))


def _lens_facts(captured: Captured, capture: Capture) -> dict[str, Any] | None:
    """The lens's layers; ``block``, tokens a block of the coarse lens, None without one; ``translators``, the hash of
    the tuned lens, None for the plain one."""
    if captured.lens is None or capture.lens is None:
        return None
    tuned, blocks = capture.lens.translators, captured.lens_blocks
    return {
        "layers": captured.lens.layers,
        "block": None if blocks is None else blocks.size,
        "translators": tuned.sha256 if isinstance(tuned, TunedLens) else None,
    }


def _attention_facts(model: LoadedModel, found: AttentionResult | None, capture: Capture) -> dict[str, Any] | None:
    if found is None or capture.attention is None:
        return None
    wanted = capture.attention
    return {
        "layers": found.layers,
        "heads": found.heads,
        "block": found.block,
        "scale": float(found.scale),
        "window": found.window,
        "group": model.heads // model.kv_heads,
        "meaning": {
            "sink_tokens": wanted.sink_tokens,
            "recent": wanted.recent,
            "reach": found.reach,
        }
        | ({} if wanted.sample is None else {"sample": wanted.sample}),
    }
