"""The language: its ids are SentencePiece's, its split is disjoint, its loss falls where it should."""

import random

import pytest

from workbench.twins.language import TASKS, Chat, Mix, Passage, document, encode_example, held_out, row, wordlike
from workbench.twins.language.pieces import ANSWER_WEIGHT, BOS, EOS, PROMPT_WEIGHT, VALUE_WEIGHT, processor


def examples(count: int, seed: int = 3):
    rng = random.Random(seed)
    mix = Mix(long_share=0.7)
    source = mix.source(rng, 512, rng.sample(wordlike(), 600))
    return [document(source, mix, first=number % 2 == 0) for number in range(count)]


def test_ids_equal_sentencepiece_message_by_message():
    for _, example in examples(600):
        found = encode_example(example)
        if isinstance(example, Chat):
            expected = [BOS]
            for number, turn in enumerate(example.turns):
                question = f"{example.system}\n\n{turn.question}" if example.system and number == 0 else turn.question
                expected += processor().encode(f"[INST] {question} [/INST]")
                expected += [*processor().encode(turn.answer), EOS]
        else:
            expected = [BOS, *processor().encode(" ".join(example.words))]
        assert found.ids == expected
        assert len(found.weights) == len(found.ids)


def test_ids_equal_the_workbench_encoding():
    from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    reference = MistralTokenizer.v1()
    chats = [example for _, example in examples(60) if isinstance(example, Chat) and not example.system]
    for chat in chats:
        messages = []
        for turn in chat.turns:
            messages += [UserMessage(content=turn.question), AssistantMessage(content=turn.answer)]
        messages = messages[:-1]
        prompt = reference.encode_chat_completion(ChatCompletionRequest(messages=messages)).tokens
        found = encode_example(chat)
        last = len(processor().encode(chat.turns[-1].answer)) + 1
        assert found.ids[:-last] == prompt


def test_weights_follow_question_answer_and_value():
    for _, example in examples(200):
        found = encode_example(example)
        assert found.weights[0] == 0.0
        if isinstance(example, Passage):
            continue
        assert set(found.weights[1:]) <= {PROMPT_WEIGHT, ANSWER_WEIGHT, VALUE_WEIGHT}
        assert VALUE_WEIGHT in found.weights
        ends = [weight for piece, weight in zip(found.ids, found.weights, strict=True) if piece == EOS]
        assert ends == [ANSWER_WEIGHT] * len(example.turns)


def test_induction_has_loss_only_where_earlier_text_decides():
    rng = random.Random(0)
    source = Mix(rare_share=0.0).source(rng, 64, [])
    for _ in range(100):
        passage = TASKS["induction"].sample(source)
        assert isinstance(passage, Passage)
        for position, weight in enumerate(passage.weights):
            if weight == 0.7:
                before = passage.words[position - 1]
                first = passage.words.index(before)
                assert first < position - 1 and passage.words[first + 1] == passage.words[position]


@pytest.mark.parametrize("name", list(TASKS))
def test_split_is_disjoint_and_both_sides_exist(name: str):
    rng = random.Random(1)
    source = Mix().source(rng, 512, rng.sample(wordlike(), 600))
    task = TASKS[name]
    trained = {task.sample(source).key for _ in range(300)}
    tested = {task.sample(source, held=True).key for _ in range(60)}
    assert not trained & tested
    assert all(held_out(name, key) for key in tested)


def test_training_rows_hold_no_held_out_greeting_or_fact():
    from workbench.twins.language.base import normalized
    from workbench.twins.language.world import FACTS, fact_key

    secret = {
        (relation.name, a, question): normalized(question.format(a=a))
        for relation, a, _, question in FACTS
        if held_out("world", fact_key(relation, a, question))
    }
    allowed = {
        normalized(question.format(a=a))
        for relation, a, _, question in FACTS
        if not held_out("world", fact_key(relation, a, question))
    }
    texts = set(secret.values()) - allowed
    assert len(texts) > 50
    seen = {
        normalized(turn.question)
        for _, example in examples(4000)
        if isinstance(example, Chat)
        for turn in example.turns
    }
    assert not texts & seen


def test_rows_have_the_length_and_are_the_same_for_the_same_seed():
    def draw() -> list[int]:
        rng = random.Random("7")
        mix = Mix(long_share=1.0)
        source = mix.source(rng, 512, rng.sample(wordlike(), 600))
        return row(source, mix).ids

    assert len(draw()) == 513
    assert draw() == draw()


def test_needles_stay_within_reach():
    """With a reach of 256 no needle is farther from the last question than the window."""
    rng = random.Random(5)
    source = Mix(rare_share=0.0, reach=256).source(rng, 512, [])
    for _ in range(200):
        chat = TASKS["long needles"].sample(source)
        assert isinstance(chat, Chat)
        text = chat.turns[0].question
        for turn in chat.turns:
            if turn.value.startswith("Sorry"):
                continue
            said = turn.answer.removeprefix("The ").rstrip(".")
            start = len(processor().encode(text[: text.index(said)]))
            end = len(encode_example(chat).ids) - len(processor().encode(chat.turns[-1].answer)) - 1
            assert end - start <= 256
