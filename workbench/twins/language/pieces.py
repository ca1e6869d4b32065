"""Ids of the language in the reference chat encoding, quickly: SentencePiece once a word, then from memory."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sentencepiece import SentencePieceProcessor

from .base import Chat, Passage

BOS, EOS = 1, 2
PROMPT_WEIGHT, ANSWER_WEIGHT, VALUE_WEIGHT = 0.15, 1.0, 3.0
_MARKS = ".,?!:;"


@cache
def processor() -> SentencePieceProcessor:
    """The v1 tokenizer model that ships inside mistral_common."""
    return SentencePieceProcessor(str(files("mistral_common") / "data" / "tokenizer.model.v1"))


@cache
def word(text: str) -> tuple[int, ...]:
    """Ids of one word. Pieces of the v1 tokenizer cross no single space, so words can be encoded one by one."""
    return tuple(processor().encode(text))


def encode(text: str) -> list[int]:
    """Ids of a text without runs of spaces; equal to SentencePiece on the whole text."""
    return [piece for part in text.split(" ") for piece in word(part)]


@cache
def wordlike() -> tuple[str, ...]:
    """Words of plain letters that are one piece, also before a punctuation mark: any of them can stand in a list."""
    model = processor()
    found = []
    for piece in range(259, model.vocab_size()):
        text = model.id_to_piece(piece)[1:]
        if model.id_to_piece(piece)[0] != "▁" or len(text) < 2 or not (text.isascii() and text.isalpha()):
            continue
        if all(model.encode(text + mark) == [piece, model.piece_to_id(mark)] for mark in _MARKS):
            found.append(text)
    return tuple(found)


@dataclass(frozen=True)
class Encoded:
    """Ids (token,) and the loss weight (token,) of predicting each id; the first id, BOS, has weight 0."""

    ids: list[int]
    weights: list[float]


def _bare(part: str) -> str:
    return part.rstrip(_MARKS)


def encode_chat(chat: Chat) -> Encoded:
    """A chat as the reference encodes it: BOS once, then each message on its own, EOS after each answer.

    Weights: a prompt token 0.15, an answer token and EOS 1, a token of a word that carries the value 3.
    """
    ids, weights = [BOS], [0.0]
    for number, turn in enumerate(chat.turns):
        question = f"{chat.system}\n\n{turn.question}" if number == 0 and chat.system else turn.question
        prompt = encode(f"[INST] {question} [/INST]")
        ids += prompt
        weights += [PROMPT_WEIGHT] * len(prompt)
        value = {_bare(part) for part in turn.value.split(" ")} - {""}
        for part in turn.answer.split(" "):
            pieces = word(part)
            ids += pieces
            weights += [VALUE_WEIGHT if _bare(part) in value else ANSWER_WEIGHT] * len(pieces)
        ids.append(EOS)
        weights.append(ANSWER_WEIGHT)
    return Encoded(ids, weights)


def encode_passage(passage: Passage) -> Encoded:
    """A passage of plain words after BOS, each piece with the weight of its word."""
    ids, weights = [BOS], [0.0]
    for part, weight in zip(passage.words, passage.weights, strict=True):
        pieces = word(part)
        ids += pieces
        weights += [weight] * len(pieces)
    return Encoded(ids, weights)


def encode_example(example: Chat | Passage) -> Encoded:
    """Ids and loss weights of any example of the language."""
    return encode_chat(example) if isinstance(example, Chat) else encode_passage(example)
