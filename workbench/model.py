"""The workbench's model: load one by name, encode, inspect a prompt, generate a reply."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr

from workbench.capture.observer import install
from workbench.capture.positions import Choice, some_of
from workbench.capture.recording import Recording
from workbench.capture.request import AttentionCapture, AttributionCapture, Capture, LensCapture
from workbench.chat.encoding import EncodedPrompt, encode
from workbench.errors import ContextLengthError, SamplingError, UnknownModelError
from workbench.generation.beginning import beginning
from workbench.generation.caching import Caching
from workbench.generation.prefill import Progress, new_cache, prefill
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.inspection.assembly import assemble
from workbench.inspection.inspection import Inspection
from workbench.inspection.run import Run
from workbench.models.architecture import theta_text
from workbench.models.loading import LoadedModel, load_model
from workbench.models.switches import KEEP, Heads, Keep, switched

Prompt = EncodedPrompt | str | Iterable[Any]
CachePolicy = Any
"""A policy of `workbench.cache_lab.policies`, or how it is said."""


class Model:
    """One loaded model. Several threads may use it at once, each request with its own capture."""

    def __init__(self, loaded: LoadedModel) -> None:
        if not hasattr(loaded, "module"):
            raise UnknownModelError(
                f"A Model cannot be made of {repr(loaded)[:40]}", expected="loaded weights", remedy='Use wb.load("...")'
            )
        self.loaded = loaded
        install(loaded.module)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "loaded":
            raise AttributeError(name)
        return getattr(self.loaded, name)

    def __repr__(self) -> str:
        window = "no window" if self.loaded.window is None else f"window {self.loaded.window}"
        switches = f"{window}, theta {theta_text(self.loaded.theta)}"
        return (
            f"Model({self.loaded.name}: {self.loaded.layers} layers x {self.loaded.heads} heads, {switches}, "
            f"{str(self.loaded.dtype).removeprefix('torch.')} on {self.loaded.device})"
        )

    def switched(
        self, window: int | Keep | None = KEEP, theta: float | Keep = KEEP, silent: Heads | Keep = KEEP
    ) -> Model:
        """The same weights under another sliding window (keys a query sees, None for all) or RoPE theta, or with the
        heads ``silent`` ((layer, head) each) taken out: a model like any other, beside this one, which stays as it is.
        No weight is copied. What is not named stays; this model's own settings give this model. Its name says what
        differs from the model that was loaded. Raises SwitchError.
        """
        loaded = switched(self.loaded, window=window, theta=theta, silent=silent)
        return self if loaded is self.loaded else Model(loaded)

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Ids, tokens, roles and spans of chat messages, or of a plain text without chat format."""
        return encode(self.loaded.tokenizer, prompt)

    def inspect(
        self, prompt: Prompt, capture: Capture | None = None, progress: Progress | None = None, *,
        cache: CachePolicy | None = None,
    ) -> Inspection:  # fmt: skip
        """One forward over ``prompt``, recorded as ``capture`` asks; nothing is generated. ``progress`` is told how
        many tokens have been read, some 2000 at a time. ``cache`` as in `generate`.

        Positions "generated" mean the last one, which would choose the next token. Raises ContextLengthError,
        CaptureError, CacheError or PromptError.
        """
        caching = None if cache is None else caching_of(cache)
        encoded, capture = self.encode(prompt), capture or Capture()
        if caching is not None:
            caching.check(capture)
        self._fits(encoded, 0)
        recording = Recording(capture, self.loaded.module, len(encoded.ids), len(encoded.ids), self.loaded)
        held, began = new_cache(self.loaded.module), time.perf_counter()
        if caching is None:
            prefill(self.loaded.module, list(encoded.ids), held, recording, progress=progress)
        else:
            held = caching.read(self.loaded.module, list(encoded.ids), recording, progress=progress)[1]
        with torch.inference_mode():
            captured = recording.finish(held)
        timings = {"prefill": time.perf_counter() - began}
        settings = {"sampling": None} | ({} if caching is None else {"cache": str(caching)})
        return assemble(self.loaded, encoded, (), captured, capture, settings, timings, None)

    def zoom(self, prompt: Prompt, layer: int, queries: slice, keys: slice, heads: Choice = "all") -> xr.DataArray:
        """Exact probabilities (head, query, key) of a part of one layer's map, at any length, by one bounded forward:
        ``prompt`` is read up to the last of ``queries`` and only those rows are worked out. `Attention.rectangle` gives
        the same from kept states. Raises CaptureError for what does not exist or is too large.
        """
        encoded = self.encode(prompt)
        self._fits(encoded, 0)
        rows = some_of(queries, len(encoded.ids), "queries")
        columns = some_of(keys, len(encoded.ids), "keys")
        wanted = AttentionCapture(layers=[layer], heads=heads, rows=rows, pool=0, statistics=False)
        ids = list(encoded.ids[: rows[-1] + 1])
        recording = Recording(Capture(wanted, lens=None, kv_cache=False), self.loaded.module, len(ids), len(ids))
        prefill(self.loaded.module, ids, new_cache(self.loaded.module), recording)
        found = recording.finish(None).attention
        assert found is not None
        assert found.rows is not None
        seen = [key for key in columns if key < len(ids)]
        values = np.zeros((len(found.heads), len(rows), len(columns)), np.float32)
        values[..., : len(seen)] = found.rows[0][..., seen]
        coords = {"head": found.heads, "query": rows, "key": columns, "layer": found.layers[0]}
        return xr.DataArray(values, dims=("head", "query", "key"), coords=coords, name="attention")

    def generate(
        self, prompt: Prompt, sampling: Sampling | None = None, capture: Capture | None = None,
        stop: threading.Event | None = None, progress: Progress | None = None, *, begin: Iterable[int] | None = None,
        reuse: PrefixStore | None = None, cache: CachePolicy | None = None,
    ) -> Run:  # fmt: skip
        """A `Run`: iterate it for one Step a token; ``stop`` ends it before the next one. ``progress`` is told how many
        tokens of the prompt have been read, some 2000 at a time.

        The reply begins with the token ids ``begin``, exactly as they are, and the model goes on from there: with the
        tokens it would have written behind them by itself. They count as tokens of the reply, each with its Step, which
        says ``given``.

        ``reuse`` keeps the caches of earlier turns: only what is new is read, and the result says how many tokens were
        not (``reused_tokens``).

        ``cache`` is the policy of the key-value cache, as `workbench.cache_lab` reads one: "sinks=4+252",
        "snapkv=25%", "4bit". What is captured is what was read: a dropped key has no weight. Nothing is reused or kept
        for later then, and states cannot be captured.

        A reply that would outgrow the context is cut to what fits. Raises ContextLengthError when not one token fits,
        or not all of ``begin``; SamplingError for settings or ids that are impossible, an end token among ``begin``;
        CacheError for a policy that is none, CaptureError for what cannot be captured under it.
        """
        encoded, sampling = self.encode(prompt), sampling or Sampling()
        if not isinstance(sampling, Sampling):
            raise SamplingError(f"The sampling is a {type(sampling).__name__}", expected="Sampling(...)")
        if stop is not None and not hasattr(stop, "is_set"):
            raise SamplingError(
                f"stop is a {type(stop).__name__}", expected="a threading.Event",
                remedy="Texts to stop at belong in Sampling(stop=...)",
            )  # fmt: skip
        room = self._fits(encoded, 1)
        given = beginning(begin, self.loaded, encoded, sampling)
        if sampling.max_new_tokens > room:
            sampling = Sampling(**{**vars(sampling), "max_new_tokens": room})
        if reuse is not None and not isinstance(reuse, PrefixStore):
            raise SamplingError(f"reuse is a {type(reuse).__name__}", expected="a PrefixStore()")
        caching = None if cache is None else caching_of(cache)
        return Run(self.loaded, encoded, sampling, capture or Capture(), stop, progress, given, reuse, caching)

    def _fits(self, prompt: EncodedPrompt, new: int) -> int:
        """How many tokens the context has left after ``prompt``."""
        room = self.loaded.context - len(prompt.ids)
        if room < new:
            raise ContextLengthError(
                f"The prompt has {len(prompt.ids)} tokens",
                expected=f"at most {self.loaded.context - new} for {self.loaded.name}",
                remedy="Shorten the prompt or start a new conversation",
            )
        return room


def caching_of(policy: CachePolicy) -> Caching:
    """``policy`` as a request takes it. The policies' room lies above this one, so it is looked up only here."""
    found: Caching = importlib.import_module("workbench.cache_lab.generating").PolicyCaching(policy)
    return found


def load(
    name: str, *, revision: str | None = None, dtype: Any = "auto", device_map: Any = None,
    quantization: str | None = None, local_files_only: bool | None = None,
) -> Model:  # fmt: skip
    """A `Model` by name: "twin-v0.1", "twin-v0.2" (shipped), "v0.1", "v0.2" (the 7B models), a hub id, or a folder with
    a Mistral-architecture checkpoint and its own tokenizer.

    dtype "auto" is the stored type on a GPU and float32 on a CPU. device_map goes to accelerate ("auto" spreads over
    devices, memory and disk). quantization "8bit" or "4bit" needs a GPU and bitsandbytes. Only a model you name is ever
    downloaded; local_files_only forbids it. Raises a WorkbenchError with a remedy.
    """
    return Model(
        load_model(
            name, revision=revision, dtype=dtype, device_map=device_map, quantization=quantization,
            local_files_only=local_files_only,
        )
    )  # fmt: skip


__all__ = ["AttentionCapture", "AttributionCapture", "Capture", "LensCapture", "Model", "load"]
