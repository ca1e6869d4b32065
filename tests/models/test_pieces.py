"""The text of a token stream against decoding all ids at once."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as BackendTokenizer
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.texts import awkward_text, texts
from workbench.models import TextStream, Tokenizer, v1_tokenizer

TOKENIZER = v1_tokenizer()
ids_of_any_kind = st.lists(st.one_of(st.integers(0, 31_999), st.integers(0, 258), st.just(28_705)), max_size=20)


def streamed(tokenizer: Tokenizer, ids: list[int], prompt: list[int] | None = None) -> list[str]:
    stream = TextStream(tokenizer, prompt or ())
    return [*(stream.push(index) for index in ids), stream.flush()]


@given(ids_of_any_kind)
def test_parts_join_to_the_whole(ids: list[int]) -> None:
    assert "".join(streamed(TOKENIZER, ids)) == TOKENIZER.decode(ids)


@given(texts, texts)
def test_with_a_prompt_the_parts_are_the_prefix_difference(first: str, second: str) -> None:
    prompt, answer = [1, *TOKENIZER.encode(first)], TOKENIZER.encode(second)
    whole, before = TOKENIZER.decode(prompt + answer), TOKENIZER.decode(prompt)
    assert before + "".join(streamed(TOKENIZER, answer, prompt)) == whole


@given(texts)
def test_every_part_is_the_difference_of_two_prefixes_with_unfinished_characters_held_back(text: str) -> None:
    ids = TOKENIZER.encode(text)
    stream, shown = TextStream(TOKENIZER), ""
    for count, index in enumerate(ids, start=1):
        shown += stream.push(index)
        prefix = TOKENIZER.decode(ids[:count])
        assert prefix.rstrip("\ufffd") == shown.rstrip("\ufffd") or prefix.startswith(shown)
        assert "\ufffd" not in shown.removeprefix(text[: len(shown)])


def test_bytes_of_a_character_wait_for_the_last() -> None:
    fox = [3 + byte for byte in "🦊".encode()]
    assert streamed(TOKENIZER, [22_557, *fox, 22_557]) == ["Hello", "", "", "", "🦊", " Hello", ""]
    assert streamed(TOKENIZER, [22_557, *fox[:3]]) == ["Hello", "", "", "", "\ufffd" * 3]
    assert streamed(TOKENIZER, [*fox[:2], 22_557]) == ["", "", "\ufffd\ufffd Hello", ""]


def test_spaces_and_control_tokens() -> None:
    hello = 22_557  # ▁Hello
    assert streamed(TOKENIZER, [hello, hello]) == ["Hello", " Hello", ""]
    assert streamed(TOKENIZER, [hello], prompt=[1, hello]) == [" Hello", ""]
    assert streamed(TOKENIZER, [hello, 2, hello]) == ["Hello", "", " Hello", ""]
    assert streamed(TOKENIZER, [hello], prompt=[1]) == ["Hello", ""]


def test_a_long_stream_costs_the_same_for_every_token() -> None:
    draw = random.Random(5)
    ids = TOKENIZER.encode("".join(awkward_text(draw) for _ in range(4_000)))[:60_000]
    started = time.process_time()
    parts = streamed(TOKENIZER, ids)
    # Decoding every prefix of 60 000 tokens would take hours.
    assert time.process_time() - started < 20
    assert "".join(parts) == TOKENIZER.decode(ids)


def word_level() -> Tokenizer:
    """A tokenizer whose decoder is neither SentencePiece's nor byte-level: words joined by WordPiece's rules."""
    words = ["[UNK]", *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij"), ".", "\ufffd"]
    backend = BackendTokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece(cleanup=False)
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), is_v1=False, sha256="words")


WORDS = word_level()


@given(st.lists(st.integers(1, 22), max_size=300), st.integers(0, 40))
def test_other_decoders_stream_through_a_window(ids: list[int], cut: int) -> None:
    assert WORDS.byte_table is None
    prompt, answer = ids[:cut], ids[cut:]
    joined = "".join(streamed(WORDS, answer, prompt))
    assert WORDS.decode(prompt) + joined == WORDS.decode(ids)
