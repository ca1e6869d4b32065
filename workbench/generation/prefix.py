"""Reading only what is new: caches of earlier turns, kept so that a request which begins with their tokens goes on.

A cache is kept where a prompt's last token is about to be read, where a reply has ended, and at the chunks of a long
prompt. Nothing is ever taken out of one: a sliding window has dropped what lies behind it, and running sums cannot
forget. So a text that departs from an earlier one goes on from the last place kept before the departure. Only a full
cache of a run without capture is cut where the texts part.

Keys and values are never written to once they are in a cache (transformers concatenates), so keeping is no copy.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from workbench.capture.kept import KeptRecording
from workbench.capture.recording import Recording

_LOOSE = 1.25  # a view of a block this many times its size is copied: the block would be held for its sake


@dataclass(frozen=True, eq=False)
class Prefix:
    """A cache as it was after ``ids``, behind which ``follows`` stood; keys and values (1, kv_head, stored, head_dim)
    by layer; what had been recorded by then."""

    model: tuple[Any, ...]
    ids: tuple[int, ...]
    follows: int
    layers: tuple[tuple[Tensor, Tensor], ...]
    recorded: KeptRecording

    @property
    def whole(self) -> bool:
        """Whether every layer still stores every token."""
        return all(keys.shape[-2] == len(self.ids) for keys, _ in self.layers)

    def tensors(self) -> Iterator[Tensor]:
        for pair in self.layers:
            yield from pair
        yield from self.recorded.tensors()


class PrefixStore:
    """Caches of the turns of one visitor, at most ``most_bytes`` of them; the least recently used go first.

    ``model.generate(..., reuse=store)`` reads only the tokens behind the longest prefix kept here, and keeps its own.
    Replies, probabilities and captures are those of a run that reads everything, up to the rounding that another
    division into chunks brings; blocks of maps are powers of two, so that they can grow. A prefix serves a capture that
    records the same for it: the layers, heads and statistics of attention, the positions of the lens; exact rows and
    attribution only of what is newly read; blocks that are no smaller (a shorter text, or a much shorter reply asked
    for, may have smaller ones). Otherwise the text is read again.

    Several threads and models may share one. Texts of different people belong in different stores: how fast a reply
    comes tells whether its beginning was there.
    """

    def __init__(self, most_bytes: int = 512 * 2**20) -> None:
        self.most_bytes = most_bytes
        self._kept: list[Prefix] = []  # the least recently used first
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held, what several caches share counted once."""
        return self._held

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept, self._held = [], 0

    def resume(self, module: Any, ids: Sequence[int], cache: Cache, recording: Recording | None) -> int:
        """Fill the empty ``cache`` and ``recording`` with the longest fitting prefix of ``ids``; its length in tokens,
        at most one less than ``ids`` has, 0 where none fits."""
        with self._lock:
            found, length = self._longest(_identity(module), tuple(ids), recording)
            if found is None:
                return 0
            if 2 * length >= len(found.ids):  # a first token in common keeps no cache alive
                self._kept.remove(found)
                self._kept.append(found)
        for layer, (keys, values) in zip(cache.layers, found.layers, strict=True):
            layer.update(keys[:, :, :0], values[:, :, :0])  # sets its type and device
            dropped = len(found.ids) - keys.shape[-2]
            layer.keys, layer.values = keys[:, :, : length - dropped], values[:, :, : length - dropped]
            if hasattr(layer, "cumulative_length"):
                layer.cumulative_length = length
        if recording is not None:
            recording.resume(found.recorded, list(ids[:length]))
        return length

    def _longest(
        self, model: tuple[Any, ...], ids: tuple[int, ...], recording: Recording | None
    ) -> tuple[Prefix | None, int]:
        best: tuple[Prefix | None, int] = (None, 0)
        for prefix in self._kept:
            if prefix.model != model:
                continue
            length = len(prefix.ids)
            fits = length < len(ids) and ids[length] == prefix.follows and ids[:length] == prefix.ids
            if (recording is None or recording.idle) and prefix.whole and not fits:
                length, fits = min(_common(prefix.ids, ids), len(ids) - 1), True
            if fits and length > best[1] and (recording is None or recording.can_resume(prefix.recorded)):
                best = (prefix, length)
        return best

    def keep(self, module: Any, ids: Sequence[int], follows: int, cache: Cache, recording: Recording | None) -> None:
        """Keep ``cache`` and what ``recording`` has, both after ``ids``; ``follows`` is the token behind them."""
        layers = tuple((_tight(layer.keys), _tight(layer.values)) for layer in cache.layers)
        recorded = KeptRecording(len(ids), None, None, None) if recording is None else recording.keep(follows)
        new = Prefix(_identity(module), tuple(ids), follows, layers, recorded)
        with self._lock:
            others = [one for one in self._kept if (one.model, one.ids, one.follows) != (new.model, new.ids, follows)]
            self._kept = [_sharing(one, new) for one in others] + [new]
            self._held = _held(self._kept)
            while self._held > self.most_bytes:
                del self._kept[0]
                self._held = _held(self._kept)


def _identity(module: Any) -> tuple[Any, ...]:
    """What decides a cache besides the ids: the very weights, and the switches of a model over them. The weights are
    told by their embedding, which switched models share, and are not kept alive."""
    config = module.config
    rope = repr(sorted((getattr(config, "rope_parameters", None) or {}).items(), key=str))
    silent = tuple(vars(layer.self_attn).get("silent", ()) for layer in module.model.layers)
    return weakref.ref(module.get_input_embeddings()), getattr(config, "sliding_window", None), rope, silent


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens two texts have in common."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def _tight(tensor: Tensor) -> Tensor:
    """``tensor``, copied where it is a small part of the block of memory that it holds."""
    with torch.inference_mode():
        return tensor.clone() if tensor.untyped_storage().nbytes() > _LOOSE * tensor.nbytes else tensor


def _sharing(older: Prefix, new: Prefix) -> Prefix:
    """``older`` as a part of ``new`` where it is the beginning of it: the same numbers, held once."""
    n = len(older.ids)
    if older.model != new.model or not (older.whole and new.whole) or new.ids[:n] != older.ids:
        return older
    return replace(older, layers=tuple((keys[:, :, :n], values[:, :, :n]) for keys, values in new.layers))


def _held(kept: Sequence[Prefix]) -> int:
    blocks = {
        (storage.device, storage.data_ptr()): storage.nbytes()
        for prefix in kept
        for storage in (tensor.untyped_storage() for tensor in prefix.tensors())
    }
    return sum(blocks.values())
