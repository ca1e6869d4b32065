"""From pieces to text: the bytes behind every id, and the text of a token stream as it grows.

Decoding one token at a time loses spaces (the first ▁ of a text is dropped, later ones are not) and breaks characters
that are spread over several byte pieces. Both tokenizer families of Mistral models decode bytewise, so the text is a
plain UTF-8 decoding of concatenated bytes, which an incremental decoder does in constant time for a token.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer as BackendTokenizer

    from workbench.models.tokenizer import Tokenizer

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_SPACE = "▁"
_UNKNOWN_SURFACE = " ⁇ "  # SentencePiece's trainer_spec.unk_surface
_REPLACEMENT = "\ufffd"
# Decoders without a byte table are decoded in windows of about this many tokens.
_WINDOW = 32


class PieceBytes:
    """The bytes of each id: ``table[id]``, None for a control token, which has no text.

    ``starts_with_space`` tells the pieces that lose their ▁ at the start of a sequence, where encoding put it; None for
    tokenizers that put none. ``control_ends_character``: whether bytes before and after a control token can belong to
    one character (byte-level decoders skip the token first) or not (SentencePiece).
    """

    def __init__(
        self,
        table: Sequence[bytes | None],
        starts_with_space: Sequence[bool] | None,
        *,
        control_ends_character: bool,
    ) -> None:
        self._table = table
        self._starts_with_space = starts_with_space
        self.control_ends_character = control_ends_character

    def piece(self, index: int, first: bool) -> bytes | None:
        """Bytes of the id, None for a control token or an id outside the vocabulary; ``first`` of the text or not."""
        if not 0 <= index < len(self._table):
            return None
        data = self._table[index]
        if data is not None and first and self._starts_with_space is not None and self._starts_with_space[index]:
            return data[1:]
        return data

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; bytes that form no character become one U+FFFD each."""
        texts: list[str] = []
        run = bytearray()
        first = True
        for index in ids:
            data = self.piece(index, first=first)
            if data is not None:
                run += data
                first = False
            elif self.control_ends_character:
                texts.append(run.decode("utf-8", errors="surrogateescape"))
                run.clear()
        texts.append(run.decode("utf-8", errors="surrogateescape"))
        return _mark_undecodable("".join(texts))


class TextStream:
    """The text of a token stream, piece by piece: the parts pushed out join to the text of all ids.

    With ``prompt_ids`` that text is the difference between decoding prompt and stream together and decoding the prompt
    alone, so that a first ``▁Hello`` gives " Hello"; without, the stream is decoded on its own and gives "Hello".
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int] = ()) -> None:
        self._table = tokenizer.byte_table
        self._inner: _ByteStream | _WindowStream
        if self._table is not None:
            self._inner = _ByteStream(self._table, prompt_ids)
        else:
            self._inner = _WindowStream(tokenizer, prompt_ids)

    def push(self, index: int) -> str:
        """Text completed by this id: "" for a byte of an unfinished character, and for a control token after text."""
        return self._inner.push(int(index))

    def flush(self) -> str:
        """The rest at the end of the stream: U+FFFD for each byte of a character that never became complete."""
        return self._inner.flush()


class _ByteStream:
    """Incremental UTF-8 decoding of the ids' bytes, the same bytes that ``PieceBytes.decode`` joins."""

    def __init__(self, table: PieceBytes, prompt_ids: Sequence[int]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._first = True
        for index in prompt_ids:
            self.push(int(index))
        # The prompt's text is shown with its own end: an unfinished character there is not completed by the answer.
        self._decoder.reset()

    def push(self, index: int) -> str:
        data = self._table.piece(index, first=self._first)
        if data is None:
            return self.flush() if self._table.control_ends_character else ""
        self._first = False
        return _mark_undecodable(self._decoder.decode(data))

    def flush(self) -> str:
        return _mark_undecodable(self._decoder.decode(b"", final=True))


class _WindowStream:
    """Prefix differences within a window, for decoders of any kind.

    The window's start moves up only to a place where decoding from there gives the same end of the text, so decoding
    stays local and equal. Text that ends in U+FFFD is held back: more bytes may complete the character.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = [int(index) for index in prompt_ids]
        self._shown = len(tokenizer.decode(self._ids))

    def push(self, index: int) -> str:
        self._ids.append(index)
        text = self._tokenizer.decode(self._ids)
        if text.endswith(_REPLACEMENT):
            return ""
        new, self._shown = text[self._shown :], max(self._shown, len(text))
        if len(self._ids) > 2 * _WINDOW:
            self._move_up(text)
        return new

    def flush(self) -> str:
        text = self._tokenizer.decode(self._ids)
        new, self._shown = text[self._shown :], max(self._shown, len(text))
        return new

    def _move_up(self, text: str) -> None:
        tail = self._tokenizer.decode(self._ids[-_WINDOW:])
        if tail and self._shown == len(text) and text.endswith(tail):
            self._ids, self._shown = self._ids[-_WINDOW:], len(tail)


def piece_bytes(backend: BackendTokenizer, *, unk_id: int | None, special_ids: frozenset[int]) -> PieceBytes | None:
    """The byte table of a SentencePiece-style or byte-level tokenizer, None for any other decoder."""
    description = json.loads(backend.to_str())
    steps = _decoder_steps(description.get("decoder"))
    kinds = [step.get("type") for step in steps]
    vocabulary = backend.get_vocab(with_added_tokens=True)
    added = backend.get_added_tokens_decoder()
    size = max(vocabulary.values()) + 1
    table: list[bytes | None] = [None] * size

    if kinds == ["ByteLevel"]:
        alphabet = _byte_level_alphabet()
        for piece, index in vocabulary.items():
            if index not in special_ids:
                known = index not in added and all(character in alphabet for character in piece)
                table[index] = bytes(alphabet[character] for character in piece) if known else piece.encode()
        return PieceBytes(table, None, control_ends_character=False)

    metaspace = kinds in (["Replace", "ByteFallback", "Fuse", "Strip"], ["Replace", "ByteFallback", "Fuse"])
    if not metaspace:
        return None
    for piece, index in vocabulary.items():
        match = _BYTE_PIECE.fullmatch(piece)
        if index == unk_id:
            table[index] = _UNKNOWN_SURFACE.encode()
        elif index in special_ids:
            continue
        elif match and index not in added:
            table[index] = bytes([int(match[1], 16)])
        else:
            table[index] = piece.replace(_SPACE, " ").encode()
    spaces = [False] * size
    for piece, index in vocabulary.items():
        spaces[index] = piece.startswith(_SPACE)
    return PieceBytes(table, spaces if kinds[-1] == "Strip" else None, control_ends_character=True)


def _decoder_steps(decoder: dict[str, object] | None) -> list[dict[str, object]]:
    if not decoder:
        return []
    if decoder.get("type") == "Sequence":
        steps = decoder.get("decoders")
        return list(steps) if isinstance(steps, list) else []
    return [decoder]


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte (openai/gpt-2, encoder.py, bytes_to_unicode), inverted."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _mark_undecodable(text: str) -> str:
    """One U+FFFD for each byte that the "surrogateescape" handler could not place in a character."""
    return _UNDECODABLE.sub(_REPLACEMENT, text)
