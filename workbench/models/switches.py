"""Architecture switches: the same weights under another sliding window or RoPE theta, or with attention heads silent,
without a copy of any weight.

The switches live outside the weights: the window in the config that each attention module reads, theta in the rotary
embedding's frequencies, silent heads in the attention modules. So a switched model needs new containers only (the
model, its layers, their attention modules, the rotary embedding), which hold the very same embedding, projection, MLP
and norm modules. Nothing of the original is written to, and both may run at once.
"""

from __future__ import annotations

import copy
import enum
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
import torch
from accelerate.hooks import add_hook_to_module
from torch import nn
from transformers import MistralConfig, MistralForCausalLM
from transformers.models.mistral.modeling_mistral import MistralAttention, MistralRotaryEmbedding

from workbench.errors import SwitchError
from workbench.models.architecture import check_theta, check_window, read_theta, read_window, theta_text
from workbench.models.loaded import LoadedModel
from workbench.models.placement import turn


class Keep(enum.Enum):
    """The type of `KEEP`."""

    KEEP = "as it is"

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep.KEEP
"""Leaves a switch as the loaded model has it. None would be a setting: no window."""


Heads = Iterable[tuple[int, int]]
"""Attention heads as (layer, head)."""


def switched(
    loaded: LoadedModel, *, window: int | Keep | None = KEEP, theta: float | Keep = KEEP, silent: Heads | Keep = KEEP
) -> LoadedModel:  # fmt: skip
    """``loaded`` under another ``window`` (keys a query sees, itself included; None for all) and RoPE base ``theta``,
    and with the heads ``silent`` ((layer, head) each) adding nothing to the residual stream (zero ablation).

    What is not named stays as ``loaded`` has it. ``switches`` of the result holds what differs from the model that was
    loaded in the first place, its name says so, and its weights hash is the same: no weight is copied or changed. Where
    nothing differs, that very `LoadedModel` comes back.

    The context stays max_position_embeddings of the config: neither switch has a length of its own (RoPE computes any
    position, a window any distance), and it is the bound on memory that the model came with. trained_context stays,
    too: it tells about the weights, which were trained under the original switches.

    Raises SwitchError for a window that is no integer of at least 1, a theta that is no positive number, or a head
    that does not exist.
    """
    base = loaded.base or loaded
    wanted: dict[str, Any] = {
        "window": loaded.window if window is KEEP else check_window(window),
        "theta": loaded.theta if theta is KEEP else check_theta(theta),
        "silent": loaded.switches.get("silent", []) if silent is KEEP else check_heads(silent, loaded),
    }
    own: dict[str, Any] = {"window": base.window, "theta": base.theta, "silent": []}
    switches = {name: value for name, value in wanted.items() if value != own[name]}
    if switches == loaded.switches:
        return loaded
    if not switches:
        return base
    return replace(
        base,
        name=f"{base.name} ({describe(switches)})",
        module=switched_module(base.module, **switches),
        switches=switches,
        base=base,
    )


def describe(switches: dict[str, Any]) -> str:
    """The switches in words: "no window, theta 1e6", "window 64"."""
    words = []
    if "window" in switches:
        words.append("no window" if switches["window"] is None else f"window {switches['window']}")
    if "theta" in switches:
        words.append(f"theta {theta_text(switches['theta'])}")
    if heads := switches.get("silent"):
        named = ", ".join(f"{layer}.{head}" for layer, head in heads[:_NAMED])
        digest = hashlib.sha256(repr([tuple(head) for head in heads]).encode()).hexdigest()[:4]
        more = "" if len(heads) <= _NAMED else f" and {len(heads) - _NAMED} more, #{digest}"  # two sets, two names
        words.append(f"without head{'s' * (len(heads) > 1)} {named}{more}")
    return ", ".join(words)


_NAMED = 4


def check_heads(heads: Any, loaded: LoadedModel) -> list[list[int]]:
    """``heads`` in order, each once, as lists. Raises SwitchError for one that does not exist."""
    found: set[tuple[int, int]] = set()
    try:
        given = [tuple(head) for head in heads]
    except TypeError:
        given = [("?",)]
    for head in given:
        good = len(head) == 2 and all(isinstance(x, int | np.integer) and not isinstance(x, bool) for x in head)
        if not good or not (0 <= head[0] < loaded.layers and 0 <= head[1] < loaded.heads):
            raise SwitchError(
                f"{loaded.name} has no head {repr(head)[:40]}",
                expected=f"(layer, head) of 0 to {loaded.layers - 1} and 0 to {loaded.heads - 1}",
            )
        found.add((int(head[0]), int(head[1])))
    return [list(head) for head in sorted(found)]


def switched_module(
    module: MistralForCausalLM, *, window: int | Keep | None = KEEP, theta: float | Keep = KEEP, silent: Heads = ()
) -> MistralForCausalLM:  # fmt: skip
    """A second module over the weights of ``module``, computing with another window or theta, or with silent heads.

    ``window`` and ``theta`` are possible ones (`switched` checks them); what is not named stays. Every module that
    holds weights is shared (quantized and offloaded ones included), so whatever changes a weight, ``.to()`` for one,
    changes it for both. Hooks on the containers are those of this moment; what is registered later on the layers of
    one is not on the other's. It keeps ``module`` alive.
    """
    config = cast(MistralConfig, copy.deepcopy(module.config))
    if window is not KEEP:
        config.sliding_window = window
    if theta is not KEEP:
        config.rope_parameters = {**config.rope_parameters, "rope_theta": theta}
        if getattr(config, "rope_theta", None) is not None:
            config.rope_theta = theta
    assert window is KEEP or read_window(config) == window
    assert theta is KEEP or read_theta(config) == theta
    turn(module)  # made before it is copied: the two take turns where weights travel
    clone = cast(MistralForCausalLM, _clone(module, config))
    for layer, head in silent:
        attention: Any = clone.model.layers[layer].self_attn
        attention.__dict__["silent"] = (*vars(attention).get("silent", ()), head)
    clone.generation_config = copy.deepcopy(module.generation_config)
    # In a tuple, or nn.Module would make it a child. Offloaded weights may lie in a folder that goes with ``module``.
    clone.__dict__["_workbench_shares"] = (module,)
    return clone


def _clone(module: nn.Module, config: MistralConfig) -> nn.Module:
    """``module`` itself where nothing in it reads a switch; else a new container around the same parts."""
    if not any(isinstance(part, MistralAttention | MistralRotaryEmbedding) for part in module.modules()):
        return module
    if isinstance(module, MistralRotaryEmbedding) and read_theta(module.config) != read_theta(config):
        return _rotary(module, config)
    clone = type(module).__new__(type(module))
    # The containers' own registries (parameters, buffers, children, hooks) are dictionaries and sets: copied, so that
    # registering something on one module registers nothing on the other. The tensors in them are the same.
    state: dict[str, Any] = {
        name: value.copy() if isinstance(value, dict | set) else value for name, value in vars(module).items()
    }
    if "config" in state:
        state["config"] = config
    # accelerate puts wrappers of bound methods (forward, to, cuda) into the instance: they would run the original.
    bound = [name for name, value in state.items() if callable(value) and hasattr(type(module), name)]
    hook = state.pop("_hf_hook", None)
    for name in (*bound, "_old_forward"):
        state.pop(name, None)
    state["_modules"] = {
        name: None if child is None else _clone(child, config) for name, child in state["_modules"].items()
    }
    clone.__dict__.update(state)
    if hook is not None:
        hook = copy.copy(hook)
        hook.init_hook = lambda module: module  # the weights are already placed
        add_hook_to_module(clone, hook)
    return clone


def _rotary(module: MistralRotaryEmbedding, config: MistralConfig) -> MistralRotaryEmbedding:
    """A rotary embedding of ``config`` on the device of ``module``, as transformers builds it: on the CPU, float32."""
    with torch.device("cpu"):
        fresh = type(module)(config)
    device = cast(torch.Tensor, module.inv_freq).device
    return fresh.to(device if device.type != "meta" else "cpu").train(module.training)
