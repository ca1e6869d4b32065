"""The tokenizer of a model: the v1 reference tokenizer, or a fine-tune's own."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

from tokenizers import Encoding
from tokenizers import Tokenizer as BackendTokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from workbench.errors import CheckpointError, PromptError
from workbench.models.checkpoint import first_line, read_json_object
from workbench.models.pieces import PieceBytes, TextStream, piece_bytes
from workbench.models.sentencepiece_model import V1_SHA256, from_sentencepiece, v1_model_file

__all__ = ["V1_SHA256", "TextStream", "Tokenizer", "load_tokenizer", "save_v1_tokenizer", "v1_tokenizer"]


class Tokenizer:
    """Text to ids and back: a facade on a transformers tokenizer (``.hf``).

    ``is_v1`` says that ids are those of the v1 reference tokenizer. ``chat_template`` is the checkpoint's own Jinja
    template, None where it has none.
    """

    def __init__(
        self, hf: PreTrainedTokenizerFast, *, is_v1: bool, sha256: str, chat_template: str | None = None
    ) -> None:
        self.hf = hf
        self.is_v1 = is_v1
        self.sha256 = sha256
        self.chat_template = chat_template
        # A copy of our own: a call of ``hf`` with split_special_tokens=False switches its backend for everyone, and
        # from then on a control token's name in a user's text would become the control token.
        self._backend = BackendTokenizer.from_str(hf.backend_tokenizer.to_str())
        self._backend.encode_special_tokens = True

    def __repr__(self) -> str:
        kind = "v1" if self.is_v1 else type(self.hf).__name__
        return f"Tokenizer({kind}, {self.vocab_size} pieces, sha256 {self.sha256[:12]})"

    def with_template(self, chat_template: str | None) -> Tokenizer:
        """The same tokenizer, tables shared, with another chat template."""
        found = copy.copy(self)
        found.chat_template = chat_template
        return found

    @property
    def bos_id(self) -> int | None:
        """Id of the piece that starts a sequence (1 in v1), None where the tokenizer has none."""
        return cast("int | None", self.hf.bos_token_id)

    @property
    def eos_id(self) -> int | None:
        """Id of the piece that ends an answer (2 in v1), None where the tokenizer has none."""
        return cast("int | None", self.hf.eos_token_id)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Piece to id, without added tokens."""
        return self._backend.get_vocab(with_added_tokens=False)

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included: one more than the largest id."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of control tokens: no text of their own, never made from a user's text."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(index for index, token in added.items() if token.special)

    @cached_property
    def special_texts(self) -> tuple[str, ...]:
        """The written form of each control token, such as ``</s>``."""
        return tuple(self.pieces(sorted(self.special_ids)))

    @cached_property
    def byte_table(self) -> PieceBytes | None:
        """The bytes that each id stands for, None for a tokenizer whose decoding is neither v1's nor byte-level."""
        return piece_bytes(self._backend, unk_id=self.hf.unk_token_id, special_ids=self.special_ids)

    def encode(self, text: str) -> list[int]:
        """Ids of one text on its own, without BOS; control tokens' names in it stay text, as in SentencePiece."""
        return list(self._encode(text, backend=self._backend).ids)

    def encode_rendered(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character ranges of a rendered chat template, in which control tokens' names are control tokens."""
        encoding = self._encode(text, backend=self._template_backend)
        return list(encoding.ids), list(encoding.offsets)

    def encode_offsets(self, text: str) -> list[tuple[int, int]]:
        """The character range of each id of ``encode(text)``, as the tokenizers library reports it."""
        return list(self._encode(text, backend=self._backend).offsets)

    @cached_property
    def _template_backend(self) -> BackendTokenizer:
        """The copy that reads control tokens' names: a switch on one backend would race between requests."""
        backend = BackendTokenizer.from_str(self._backend.to_str())
        backend.encode_special_tokens = False
        return backend

    def _encode(self, text: str, *, backend: BackendTokenizer) -> Encoding:
        if not isinstance(text, str):
            raise PromptError(f"Cannot encode a {type(text).__name__}", expected="text (str)")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise PromptError(
                f"The text holds half of a character (a lone surrogate) at position {error.start}",
                expected="Unicode text",
                remedy="Remove it, or read the text with the encoding in which it was written.",
            ) from None
        return backend.encode(text, add_special_tokens=False)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids: control tokens give none, and the ▁ that encoding put in front is taken off.

        Bytes that form no character come back as one U+FFFD each, as SentencePiece does.
        """
        ids = [int(index) for index in ids]
        if self.byte_table is not None:
            return self.byte_table.decode(ids)
        return cast(str, self.hf.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The raw piece of each id, such as ``▁Hello``, ``<0xE2>`` or ``</s>``."""
        found = [self._backend.id_to_token(int(index)) for index in ids]
        return ["<none>" if piece is None else piece for piece in found]


@lru_cache(maxsize=1)
def v1_tokenizer() -> Tokenizer:
    """The reference v1 tokenizer: 32 000 pieces, BOS 1, EOS 2, ids equal to SentencePiece's for every text."""
    found = Tokenizer(from_sentencepiece(v1_model_file()), is_v1=True, sha256=V1_SHA256)
    # Its copies, one a model, share the tables that are there: building them takes longer than loading a twin.
    _ = found.vocabulary, found.vocab_size, found.special_texts, found.byte_table
    return found


def save_v1_tokenizer(folder: str | Path) -> None:
    """Writes the v1 tokenizer to ``folder`` so that plain ``AutoTokenizer.from_pretrained`` gives the same ids."""
    v1_tokenizer().hf.save_pretrained(str(folder))


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder: the exact v1 where its vocabulary is v1's, else the folder's own.

    A folder with v1's pieces is *not* read through ``AutoTokenizer``: files that transformers converted carry merges
    ranked by id. Raises CheckpointError where the folder has no readable tokenizer.
    """
    folder = Path(folder)
    settings = _read_json(folder / "tokenizer_config.json")
    template = _chat_template(folder, settings)
    if _is_v1(folder, settings):
        return v1_tokenizer().with_template(template)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tekken.json")):
        raise CheckpointError(
            f"{folder} has no tokenizer",
            expected="a tokenizer.json or tokenizer.model beside config.json",
            remedy="Save one there with tokenizer.save_pretrained, or, for a model with Mistral's v1 vocabulary, "
            "with workbench.models.save_v1_tokenizer",
        )
    try:
        if (folder / "tokenizer.json").is_file() or not (folder / "tokenizer.model").is_file():
            hf = AutoTokenizer.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                split_special_tokens=True,
                mistral_format=False,
            )
        else:
            # transformers' own conversion of a model file drops the ▁ in front and ranks merges by id.
            hf = from_sentencepiece(folder / "tokenizer.model", settings.get("added_tokens_decoder"))
            for name in ("bos", "eos"):
                if text := _token_text(settings.get(f"{name}_token"), ""):
                    setattr(hf, f"{name}_token", text)
        backend = hf.backend_tokenizer
    except Exception as error:  # transformers, tokenizers and sentencepiece each raise their own types here
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read ({first_line(error)})",
            expected="a tokenizer that transformers loads without remote code",
            remedy="Download the tokenizer files again.",
        ) from error
    digest = hashlib.sha256(backend.to_str().encode("utf-8")).hexdigest()
    return Tokenizer(hf, is_v1=False, sha256=digest, chat_template=template or hf.chat_template)


_V1_FILES: set[bytes] = set()  # sha256 of each tokenizer.json that was found to be v1's: reading one takes long


def _is_v1(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder's tokenizer has v1's 32 000 pieces and no others."""
    declared = settings.get("added_tokens_decoder") or {}
    if not set(declared) <= {"0", "1", "2"}:
        return False
    if any(
        _token_text(settings.get(f"{name}_token"), text) != text for name, text in (("bos", "<s>"), ("eos", "</s>"))
    ):
        return False
    path = folder / "tokenizer.json"
    digest = hashlib.sha256(path.read_bytes()).digest() if path.is_file() and os.access(path, os.R_OK) else b""
    if digest in _V1_FILES:
        return True
    if described := _read_json(path):
        model = described.get("model") or {}
        added = {token.get("content") for token in described.get("added_tokens") or []}
        found = added <= {"<unk>", "<s>", "</s>"} and model.get("vocab") == _v1_vocabulary()
        _V1_FILES.update({digest} if found else ())
        return bool(found)
    path = folder / "tokenizer.model"
    added_file = _read_json(folder / "added_tokens.json")
    same = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == V1_SHA256
    return same and set(added_file) <= {"<unk>", "<s>", "</s>"}


def _v1_vocabulary() -> dict[str, int]:
    return v1_tokenizer().vocabulary


def _token_text(token: Any, default: str) -> str:
    """The text of a token as tokenizer_config.json writes it: a string, an AddedToken's dictionary, or nothing."""
    if token is None:
        return default
    return str(token.get("content")) if isinstance(token, dict) else str(token)


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The checkpoint's template: chat_template.jinja, or the field of tokenizer_config.json ("default" of several)."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _read_json(path: Path) -> dict[str, Any]:
    """The file's dictionary, empty where there is no file."""
    return read_json_object(path) if path.is_file() else {}
