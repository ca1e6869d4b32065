"""The decoding loop: one `Step` for every new token, the same tokens as ``model.generate``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import Cache

from workbench.capture.lens import top_k_blocked
from workbench.capture.recording import Recording, StepCapture
from workbench.generation.beginning import end_tokens
from workbench.generation.caching import Caching
from workbench.generation.prefill import CHUNK, Progress, forward, forward_rows, new_cache, prefill
from workbench.generation.prefix import PrefixStore
from workbench.generation.sampling import Sampling
from workbench.models.tokenizer import TextStream, Tokenizer

FinishReason = Literal["eos", "length", "stopped", "stop string"]
TOP = 5
_TOGETHER = 64  # given tokens read at once: their logits are held, 8 MiB in float32


@dataclass(frozen=True)
class Step:
    """One token of the reply.

    index counts from 0; position is its absolute place in prompt + reply; text is what became readable with it (empty
    while a character is incomplete). logprob (nats), rank (1 = top), entropy (nats) and top ((id, piece, logprob) of
    the five likeliest) are of the model's own distribution, before temperature and filters. seconds since the last one.
    given: the token was given to begin with, not chosen; its numbers say what the model thought of it.
    ``captured`` is what was recorded where the token was chosen; it is worked out when asked for.
    """

    index: int
    position: int
    token_id: int
    piece: str
    text: str
    logprob: float
    rank: int
    entropy: float
    top: tuple[tuple[int, str, float], ...]
    seconds: float
    given: bool = False
    _look: Callable[[], StepCapture | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def captured(self) -> StepCapture | None:
        return self._look()


class Decoding:
    """One request's loop: iterate `steps`; what it leaves is in ids, cache, finish_reason and seconds by phase.

    Preparation (logits processors, stopping criteria, special tokens) is that of ``module.generate``, asked for through
    its ``custom_generate`` argument, so the tokens are the same for the same seed and settings. Between two steps it
    holds nothing but ids and cache. ``continues`` says that the reply goes on with the prompt's own text, so that its
    first space is kept; the reply of a chat is a text of its own.

    A reply that begins with given tokens draws and discards a token at their places, so that it goes on as the reply
    would have that came to them by itself. They are read some at a time, like a prompt.
    """

    def __init__(
        self, module: Any, tokenizer: Tokenizer, prompt: list[int], sampling: Sampling,
        recording: Recording | None = None, stop: threading.Event | None = None, chunk: int = CHUNK,
        continues: bool = False, progress: Progress | None = None, begin: Sequence[int] = (),
        store: PrefixStore | None = None, caching: Caching | None = None,
    ) -> None:  # fmt: skip
        self.module, self.tokenizer, self.sampling = module, tokenizer, sampling
        self.caching, store = caching, None if caching is not None else store  # what a policy left serves no other text
        self.recording, self.chunk, self.continues = recording, chunk, continues
        self.progress, self.begin, self.store = progress, list(begin), store
        self.stop = stop or threading.Event()
        self.prompt_length, self.ids = len(prompt), list(prompt)
        self.cache: Cache = new_cache(module)
        self.text, self.reused, self._read = "", 0, 0
        self.finish_reason: FinishReason | None = None
        self.seconds = {"prefill": 0.0, "decode": 0.0}

    def steps(self) -> Generator[Step, None, None]:
        """Read the prompt, then yield a Step a token until an end is reached or the stop event is set."""
        module, began = self.module, time.perf_counter()
        device = module.get_input_embeddings().weight.device
        device = device if device.type != "meta" else torch.device("cpu")
        with torch.inference_mode():
            ids, processors, criteria, config = _prepared(
                module, torch.tensor([self.ids], device=device), self.sampling
            )
        generator = torch.Generator(ids.device).manual_seed(self.sampling.seed)
        ends = end_tokens(config)
        stream = TextStream(self.tokenizer, self.ids if self.continues else ())
        last = decoding = began
        for logits in self._logits():
            index = len(self.ids) - self.prompt_length
            given = index < len(self.begin)
            if index == 0:
                last = decoding = time.perf_counter()
                self.seconds["prefill"] = last - began
            with torch.inference_mode():
                scores = processors(ids, logits.to(ids.device).clone()[None])
                if config.do_sample:
                    token = torch.multinomial(torch.softmax(scores, -1), 1, generator=generator)[:, 0]
                else:
                    token = scores.argmax(-1)
                if given:
                    token = torch.full_like(token, self.begin[index])
                ids = torch.cat([ids, token[:, None]], 1)
                token_id = int(token)
                over = bool(criteria(ids, None).all())
            self.ids.append(token_id)
            ended = token_id in ends
            text = stream.push(token_id) + (stream.flush() if over or ended else "")
            self.text += text
            now = time.perf_counter()
            step = self._step(token_id, text, logits, now - last, given)
            last = now
            if any(mark in self.text for mark in self.sampling.stop):
                self.finish_reason = "stop string"
            elif over or ended:
                self.finish_reason = "eos" if ended else "length"
            if given:  # read, not decoded
                decoding, self.seconds["prefill"] = now, now - began
            self.seconds["decode"] = now - decoding
            yield step
            if self.finish_reason is not None:
                return
        self.finish_reason = "stopped"

    def _logits(self) -> Iterator[Tensor]:
        """Float32 logits (vocabulary,) that choose each token of the reply in turn, until the stop event is set."""
        module, recording = self.module, self.recording
        logits = self._prefill()
        if logits is None:
            return
        cache = self.cache
        self._read = self.prompt_length
        yield logits
        if recording is not None and self.begin:
            recording.expect(self.begin)
        # The last given one is fed alone, like one that was chosen.
        start = 0
        while start < len(self.begin) - 1:
            if self.stop.is_set():
                return
            room = getattr(cache, "room", None) or _TOGETHER
            some = self.begin[start : min(start + _TOGETHER, start + room, len(self.begin) - 1)]
            self._read += len(some)
            start += len(some)
            yield from forward_rows(module, some, cache, recording, len(some))
        while not self.stop.is_set():
            self._read += 1
            yield forward(module, self.ids[-1:], cache, recording)

    def _prefill(self) -> Tensor | None:
        """Logits behind the prompt, of which only what no kept cache has read is read; None when stopped before."""
        module, store, stop = self.module, self.store, self.stop
        if self.caching is not None:
            logits, self.cache = self.caching.read(module, self.ids, self.recording, stop, self.progress)
            return logits
        if store is None:
            return prefill(module, self.ids, self.cache, self.recording, self.chunk, stop, self.progress)
        if stop.is_set():
            return None
        self.reused = store.resume(module, self.ids, self.cache, self.recording)
        rest = self.ids[self.reused :]
        if self.recording is not None:
            self.recording.expect(rest)
        # The last token is fed alone: whoever asks the same again needs its logits, and can go on before it.
        for start in range(self.reused, self.prompt_length - 1, self.chunk):
            read = min(start + self.chunk, self.prompt_length - 1)
            forward(module, self.ids[start:read], self.cache, self.recording)
            store.keep(module, self.ids[:read], self.ids[read], self.cache, self.recording)
            if self.progress is not None:
                self.progress(read)
            if stop.is_set():
                return None
        return forward(module, self.ids[-1:], self.cache, self.recording)

    def keep(self) -> None:
        """Keep the cache of a reply that has ended for the next turn, where there is a store."""
        if self.store is not None and self._read + 1 == len(self.ids) > self.prompt_length:
            self.store.keep(self.module, self.ids[:-1], self.ids[-1], self.cache, self.recording)

    @property
    def ahead(self) -> int:
        """How many given tokens the cache has read that no Step has told of yet."""
        return max(0, self._read + 1 - len(self.ids))

    def _step(self, token_id: int, text: str, logits: Tensor, seconds: float, given: bool) -> Step:
        with torch.inference_mode():
            lse = torch.logsumexp(logits, -1)
            chosen = logits[token_id]
            values, ids = top_k_blocked(logits[None], TOP)
            entropy = lse - torch.dot(torch.exp(logits - lse), logits)
            rank = (logits > chosen).sum() + 1
            numbers = torch.stack([chosen - lse, entropy, rank.float()]).tolist()
            likeliest = zip(ids[0].tolist(), (values[0] - lse).tolist(), strict=True)
        pieces = self.tokenizer.pieces([token_id, *ids[0].tolist()])
        top = tuple((i, piece, p) for (i, p), piece in zip(likeliest, pieces[1:], strict=True))
        position = len(self.ids) - 1
        return Step(
            position - self.prompt_length, position, token_id, pieces[0], text,
            numbers[0], int(numbers[2]), numbers[1], top, seconds, given, self._look_at(position, token_id),
        )  # fmt: skip

    def _look_at(self, position: int, token_id: int) -> Callable[[], StepCapture | None]:
        if self.recording is None:
            return lambda: None
        return partial(self.recording.look, position - 1, token_id)


def _prepared(module: Any, ids: Tensor, sampling: Sampling) -> tuple[Tensor, Any, Any, Any]:
    """ids, logits processors, stopping criteria and settings exactly as ``generate`` would use them."""

    def grab(
        model: Any, input_ids: Tensor, logits_processor: Any = None, stopping_criteria: Any = None,
        generation_config: Any = None, **others: Any,
    ) -> tuple[Tensor, Any, Any, Any]:  # fmt: skip
        return input_ids, logits_processor, stopping_criteria, generation_config

    return module.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=sampling.generation_config(module),
        custom_generate=grab,
    )  # fmt: skip
