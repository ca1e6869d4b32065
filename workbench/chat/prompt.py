"""A prompt as the model reads it: ids, and for each token its role, its message and its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workbench.models import Tokenizer

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")

Span = tuple[int, int]


@dataclass(frozen=True)
class EncodedPrompt:
    """Ids as the model reads them; all tuples have one entry for each token.

    ``tokens`` are the raw pieces (``▁Hello``, ``<0xE2>``, ``</s>``). ``roles`` are "special" (BOS, EOS), "control"
    (``[INST]``, ``[/INST]`` or a template's own words), "system", "user", "assistant", or "text" for a prompt without
    chat format. ``text`` is the prompt as read, without BOS and EOS; for v1 it is what the ids decode to, except that a
    ▁ typed by a user stays one. ``spans`` are character ranges in ``text``, in order and without gaps (a rendered
    template's control tokens excepted); the byte pieces of one character share its range; special tokens have None.
    ``message`` is the place of the message that a token belongs to, -1 for BOS and for what no message holds.
    ``tokenizer_hash`` names the tokenizer that made the ids. ``source`` is what was encoded: a text, or messages as
    (role, content) pairs; None where the ids are not all of its making.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    roles: tuple[str, ...]
    spans: tuple[Span | None, ...]
    message: tuple[int, ...]
    text: str
    tokenizer_hash: str
    source: str | tuple[tuple[str, str], ...] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Part:
    """A stretch of text with one role, before it is encoded."""

    text: str
    role: str
    message: int


class PromptBuilder:
    """Collects an EncodedPrompt text by text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._roles: list[str] = []
        self._spans: list[Span | None] = []
        self._messages: list[int] = []
        self._text = ""

    def special(self, index: int | None, message: int) -> None:
        """Adds a control token; nothing where the tokenizer has none of its kind."""
        if index is not None:
            self._add(index, "special", None, message)

    def texts(self, parts: list[Part]) -> None:
        """Encodes the parts together as one text and gives each token the role of the part its last character is in.

        The last, because a token carries the space before its word: in "[INST] Hi" the space and "Hi" are one token.
        """
        text = "".join(part.text for part in parts)
        if not text:
            return
        ids = self._tokenizer.encode(text)
        # The ▁ put in front of a text shows as a space, except at the very beginning, where decoding takes it off.
        lead = 1 if self._text and self._tokenizer.is_v1 else 0
        start = len(self._text) + lead
        if self._tokenizer.is_v1:
            ranges = _piece_ranges(self._tokenizer.pieces(ids), text)
        else:
            ranges = _closed_gaps(self._tokenizer.encode_offsets(text), len(text))
        owners = _owners(parts)
        for index, (begin, end) in zip(ids, ranges, strict=True):
            part = owners[max(end - 1, 0)]
            self._add(index, part.role, (max(start + begin, start - lead), start + max(end, 0)), part.message)
        self._text += " " * lead + text

    def rendered(self, text: str, parts: list[Part]) -> None:
        """Encodes a rendered chat template, in which the control tokens are written out."""
        ids, offsets = self._tokenizer.encode_rendered(text)
        owners = _owners(parts)
        special = self._tokenizer.special_ids
        for index, (begin, end) in zip(ids, offsets, strict=True):
            part = owners[max(end - 1, 0)]
            if index in special:
                self._add(index, "special", None, part.message)
            else:
                self._add(index, part.role, (begin, end), part.message)
        self._text = text

    def finish(self) -> EncodedPrompt:
        return EncodedPrompt(
            ids=tuple(self._ids),
            tokens=tuple(self._tokenizer.pieces(self._ids)),
            roles=tuple(self._roles),
            spans=tuple(self._spans),
            message=tuple(self._messages),
            text=self._text,
            tokenizer_hash=self._tokenizer.sha256,
        )

    def _add(self, index: int, role: str, span: Span | None, message: int) -> None:
        self._ids.append(index)
        self._roles.append(role)
        self._spans.append(span)
        self._messages.append(message)


class TokenCount:
    """A `PromptBuilder` that only counts: no roles, no places."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.tokens = 0

    def special(self, index: int | None, message: int) -> None:
        self.tokens += index is not None

    def texts(self, parts: list[Part]) -> None:
        text = "".join(part.text for part in parts)
        self.tokens += len(self._tokenizer.encode(text)) if text else 0


def _owners(parts: list[Part]) -> list[Part]:
    """The part that each character of the joined text belongs to."""
    return [part for part in parts for _ in part.text]


def _piece_ranges(pieces: list[str], text: str) -> list[Span]:
    """Character ranges of v1 pieces in their text; -1 is the ▁ in front of it.

    The pieces spell "▁" + text, byte pieces spelling one character together. Worked example: "é日" is
    ▁é <0xE6> <0x97> <0xA5> where 日 has no piece, and the ranges are (-1, 1) (1, 2) (1, 2) (1, 2).
    """
    ranges: list[Span] = []
    place, pending = -1, 0
    for piece in pieces:
        if _BYTE_PIECE.fullmatch(piece):
            ranges.append((place, place + 1))
            if pending == 0:
                pending = len(text[place].encode("utf-8"))
            pending -= 1
            place += pending == 0
        else:
            ranges.append((place, place + len(piece)))
            place += len(piece)
    assert (place, pending) == (len(text), 0), "the pieces do not spell the text"
    return ranges


def _closed_gaps(offsets: list[Span], length: int) -> list[Span]:
    """Ranges of another tokenizer made to cover the text: one that leaves out spaces begins where the last ended."""
    ranges: list[Span] = []
    reached = 0
    for begin, end in offsets:
        begin = min(begin, reached) if end > reached else begin
        ranges.append((begin, max(begin, end)))
        reached = max(reached, end)
    if ranges and reached < length:
        ranges[-1] = (ranges[-1][0], length)
    return ranges
