"""The safe prompt: 44 tokens, off unless asked for, in front of everything, never twice."""

from __future__ import annotations

import pytest

import workbench as wb
from workbench.chat.conversation import Message
from workbench.chat.encoding import encode
from workbench.chat.guardrails import SAFE_PROMPT, safe, with_safe_prompt
from workbench.errors import PromptError
from workbench.models.tokenizer import Tokenizer

USER = {"role": "user", "content": "Hi"}
OWN = {"role": "system", "content": "Be brief."}


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint) -> Tokenizer:  # type: ignore[no-untyped-def]
    return wb.load(str(tiny_checkpoint())).tokenizer


def test_it_has_44_tokens(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode(SAFE_PROMPT)) == 44


def test_off_changes_no_id(tokenizer: Tokenizer) -> None:
    said = [OWN, USER]
    assert encode(tokenizer, with_safe_prompt(said, on=False)).ids == encode(tokenizer, said).ids
    assert encode(tokenizer, with_safe_prompt("Hi", on=False)).ids == encode(tokenizer, [USER]).ids


def test_on_is_the_system_prompt(tokenizer: Tokenizer) -> None:
    by_hand = encode(tokenizer, [{"role": "system", "content": SAFE_PROMPT}, USER])
    assert encode(tokenizer, with_safe_prompt([USER])).ids == by_hand.ids
    assert by_hand.ids != encode(tokenizer, [USER]).ids


def test_it_goes_before_an_own_system_text_and_never_twice() -> None:
    once = with_safe_prompt([OWN, USER])
    assert once == [Message("system", f"{SAFE_PROMPT}\n\nBe brief."), Message("user", "Hi")]
    assert with_safe_prompt(once) == once


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, False), (SAFE_PROMPT, False), ([], False), ([USER], False), ([OWN, USER], False),
        ([{"role": "user", "content": SAFE_PROMPT}], False), (with_safe_prompt([USER]), True),
        ((("system", SAFE_PROMPT), ("user", "Hi")), True), (["?"], False),
    ],
)  # fmt: skip
def test_it_is_told_from_a_prompt(said: object, expected: bool) -> None:
    assert safe(said) is expected


def test_no_message_is_a_sentence() -> None:
    with pytest.raises(PromptError, match="no message"):
        with_safe_prompt([])
