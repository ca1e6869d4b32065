"""The result of every run: tokens, attention, lens and cache, on the CPU, labelled, with where they come from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from workbench.inspection.attention import Attention
from workbench.inspection.attribution import labelled_attribution
from workbench.inspection.kv_cache import labelled
from workbench.inspection.lens import labelled_blocks, labelled_lens
from workbench.inspection.record import SCHEMA as SCHEMA
from workbench.inspection.record import Record
from workbench.results import Result


@dataclass(frozen=True, eq=False)
class Inspection(Result):
    """One prompt and what one model made of it.

    ``record`` holds words and settings, ``arrays`` the numbers under flat names ("ids", "steps.logprob",
    "attention.rows", "lens.entropy", "kv_cache.bytes"); the properties show them labelled.
    """

    record: Record
    arrays: Mapping[str, np.ndarray]

    @property
    def ids(self) -> np.ndarray:
        """Token ids (T,) int32 of prompt and reply."""
        return self.arrays["ids"]

    @property
    def tokens(self) -> list[str]:
        """The visible piece of each token."""
        return self.record.tokens

    @property
    def roles(self) -> list[str]:
        """What each token is: user, assistant, system, tool, control (of the chat format) or special."""
        return self.record.roles

    @property
    def spans(self) -> list[tuple[int, int] | None]:
        """Character range of each token in `text`."""
        return self.record.spans

    @property
    def text(self) -> str:
        """The rendered prompt with the reply."""
        return self.record.text

    @property
    def reply(self) -> str:
        """The generated text."""
        return "".join(self.record.step_texts)

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt; the reply's first token has this position."""
        return self.record.prompt_length

    @property
    def generated(self) -> slice:
        """Positions of the reply's tokens, given ones included."""
        return slice(self.prompt_length, len(self.ids))

    @property
    def given(self) -> slice:
        """Positions of the tokens that the reply was given to begin with: its first ones, none for most replies."""
        return slice(self.prompt_length, self.prompt_length + self.record.given)

    @property
    def model(self) -> dict[str, Any]:
        """The model's name, shape, window, RoPE theta, dtype and device."""
        return self.record.model

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: the weights' hash, settings, seed, library versions."""
        return self.record.provenance

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by phase, and tokens_per_second of decoding when something was generated."""
        return self.record.timings

    def piece(self, token_id: int) -> str:
        """The visible piece of a token id that occurs anywhere in this inspection."""
        return self.record.pieces.get(int(token_id), f"<{int(token_id)}>")

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row a token of the reply: position, token_id, piece, text, logprob, rank, entropy, seconds, given (the
        reply was to begin with it), top_ids and top_logprobs (arrays of five). Log-probabilities are the model's own,
        in nats."""
        names = ("position", "token_id", "logprob", "rank", "entropy", "seconds")
        frame = pd.DataFrame({name: self.arrays[f"steps.{name}"] for name in names})
        frame.insert(2, "piece", [self.piece(i) for i in frame["token_id"]])
        frame.insert(3, "text", self.record.step_texts)
        frame["given"] = np.arange(len(frame)) < self.record.given
        frame["top_ids"] = list(self.arrays["steps.top_ids"])
        frame["top_logprobs"] = list(self.arrays["steps.top_logprobs"])
        return frame

    @cached_property
    def attention(self) -> Attention | None:
        """Rows, pooled map and statistics; None when attention was not captured."""
        if self.record.attention is None:
            return None
        return Attention(self._part("attention."), self.record.attention, self.tokens)

    @cached_property
    def lens(self) -> xr.Dataset | None:
        """Logit lens over (layer, position[, rank]); layer 0 is the embedding, the last the model's output. None when
        not captured. top_id, top_logprob, entropy, kl (nats, final layer from this one), target_rank (1 = top),
        target_logprob, target_id (position,): the token that really came next, -1 when none did.
        ``attrs["translators"]`` is the hash of the tuned lens that read the stream, "" for the plain lens."""
        return None if self.record.lens is None else labelled_lens(self._part("lens."), self.record.lens, self.tokens)

    @cached_property
    def lens_blocks(self) -> xr.Dataset | None:
        """The coarse lens of the whole run over (layer, block), from ``count`` (block,) positions of each block:
        entropy (mean, nats), target_logprob (mean, nats) and target_rank (median, 1 = top) of the token that really
        came next, NaN where none was read. Block i has the tokens ``start`` to ``stop`` - 1. None when not captured."""
        found = self._part("lens.block_")
        return labelled_blocks(found, self.record.lens, len(self.ids)) if self.record.lens and found else None

    @cached_property
    def attribution(self) -> xr.Dataset | None:
        """Direct logit attribution; None when not captured. logit (position, choice): the model's logit of token_id
        (position, choice), of which embedding (position, choice), attention and mlp (layer, position, choice) are the
        parts, in logits: they sum to it, up to rounding (`AttributionResult` says which). heads (layer, head, position,
        choice), when asked for, are the parts of attention. A positive part speaks for the token, directly; what a part
        does through later layers is theirs."""
        found = self._part("attribution.")
        return labelled_attribution(found, self.tokens, self.piece) if found else None

    @cached_property
    def kv_cache(self) -> xr.Dataset | None:
        """What each layer stores at the end, how it grew, and who reads it. None when not captured.

        (layer,): bytes, logical_length (tokens read), physical_length (stored), evicted (tokens dropped), capacity (-1:
        no limit), allocated (bytes of the memory blocks that hold the stored tokens).
        (layer, position): stored, False where the token is evicted from every key-value head.
        (layer, kv_head, position): kept, whether a key-value head stores the token: under a cache policy they differ.
        (layer, kv_head, position): key_norm and value_norm, NaN where evicted.
        (step, layer): growth_bytes, growth_allocated, growth_logical, growth_physical: the same sizes when the first
        token of the reply was chosen (step 0: prefill done) and after each forward since: of one token, or of several
        that were given.
        (layer, kv_head, key_block): read_by, the attention a key of the block received from all captured query heads
        that share its key head, over all queries; with attention's statistics only, NaN where no such head or layer was
        captured. The coordinate query_heads (kv_head, reader) names the heads that read a key head.

        Files of an earlier version have neither allocated nor growth.
        """
        found = self._part("kv_cache.")
        return labelled(found, self.model, self.attention) if found else None

    def _part(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): value for name, value in self.arrays.items() if name.startswith(prefix)}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in self.arrays.values())

    def save(self, path: str | Path) -> Path:
        """Write everything to one file (safetensors with a JSON record); `workbench.open` reads it back."""
        from workbench.inspection.storage import save

        return save(self, path)

    def to_html(self, path: str | Path, title: str | None = None) -> Path:
        """Write one self-contained HTML page with the same views as the app. The page is made by the report room,
        which lies above this one, so it is looked up only here."""
        return importlib.import_module("workbench.report").write_html(self, path, title=title)

    def widget(self, **selection: Any) -> Any:
        """The same views in a notebook, at ``selection`` (token, layer, head) where it names one: a widget whose
        ``selection`` is read and set from Python (`widgets.inspector.Inspector`). Looked up only here, like the report.
        Raises WorkbenchError where anywidget is not installed."""
        return importlib.import_module("workbench.widgets").widget(self, **selection)

    def to_dataframe(
        self, part: str = "tokens", *, top: int = 8, least: float = 0.0, layer: int | None = None
    ) -> pd.DataFrame:
        """One part as a flat table (`tabular.table`): "tokens", "steps", "attention" (the ``top`` keys of each captured
        row with a weight of at least ``least``, of one ``layer`` or all), "statistics", "heads", "lens" or "cache".
        Raises CaptureError for what was not captured."""
        from workbench.inspection.tabular import table

        return table(self, part, top, least, layer)

    def to_xarray(self, part: str = "attention") -> xr.DataArray | xr.Dataset:
        """One part with its labels: "attention" (layer, head, query, key) with token coordinates, "map", "statistics",
        "lens" (layer, position, rank), "blocks", "attribution" or "cache". Raises CaptureError for what was not
        captured."""
        from workbench.inspection.tabular import labelled_part

        return labelled_part(self, part)

    def figure(self, part: str | None = None, layer: int | None = None, head: int | None = None) -> Any:
        """A plotly figure of "tokens" (surprise of each, nats), "attention" (the pooled map of ``layer``, the middle
        one by default, and ``head``, by default the mean of all), "lens" (log-probability of what came, by layer) or
        "cache" (bytes by layer); by default the first of lens, attention and tokens that was captured. Raises
        CaptureError for what was not captured, WorkbenchError without plotly."""
        return importlib.import_module("workbench.figures.runs").inspection_figure(self, part, layer, head)

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """The tokens of the reply, or of the prompt where nothing was generated."""
        found = self.to_dataframe()
        return [("Tokens", found[self.prompt_length :] if len(self.steps) else found)]

    def contradiction(self) -> str | None:
        """How arrays and record disagree."""
        from workbench.inspection.storage import disagreement

        return disagreement(self)

    @classmethod
    def open(cls, path: str | Path) -> Inspection:
        """The inspection that ``save`` wrote. Raises FileFormatError."""
        from workbench.inspection.storage import open_inspection

        return open_inspection(path)

    def __repr__(self) -> str:
        new = len(self.ids) - self.prompt_length
        given = f" ({self.record.given} given)" if self.record.given else ""
        parts = [f"{self.prompt_length} + {new} tokens{given}" if new else f"{self.prompt_length} tokens"]
        if self.attention is not None:
            parts.append(f"attention {len(self.attention.layers)} layers x {len(self.attention.heads)} heads")
        if self.lens is not None:
            kind = "tuned lens" if self.lens.attrs["translators"] else "lens"
            parts.append(f"{kind} {self.lens.sizes['layer']} layers x {self.lens.sizes['position']} positions")
        if self.lens_blocks is not None:
            parts.append(f"lens of {self.lens_blocks.sizes['block']} blocks")
        if self.attribution is not None:
            parts.append(f"attribution at {self.attribution.sizes['position']} positions")
        if self.kv_cache is not None:
            parts.append(f"KV {int(self.kv_cache.bytes.sum()) / 2**20:.1f} MiB")
        return f"Inspection({self.model['name']}: {', '.join(parts)})"
