"""The v1 tokenizer against SentencePiece itself, and the tokenizers of fine-tunes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as BackendTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.texts import awkward_text, texts
from workbench.errors import CheckpointError, PromptError
from workbench.models import load_tokenizer, save_v1_tokenizer, v1_tokenizer
from workbench.models import sentencepiece_model as built

TOKENIZER = v1_tokenizer()
REFERENCE = SentencePieceProcessor(model_file=str(built.v1_model_file()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v1")
    save_v1_tokenizer(folder)
    return folder


def test_equals_sentencepiece_and_its_saved_form_on_12_000_texts(saved: Path) -> None:
    plain = AutoTokenizer.from_pretrained(saved)
    draw = random.Random(1)
    for _ in range(12_000):
        text = awkward_text(draw)
        expected = REFERENCE.encode(text)
        assert TOKENIZER.encode(text) == expected, repr(text)
        assert TOKENIZER.decode(expected) == REFERENCE.decode(expected), repr(text)
        if draw.random() < 0.1:
            assert plain.encode(text) == [1, *expected], repr(text)


@given(texts)
def test_equals_sentencepiece_on_any_text(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert ids == REFERENCE.encode(text)
    assert TOKENIZER.decode(ids) == text.replace("▁", " ")
    assert TOKENIZER.pieces(ids) == REFERENCE.id_to_piece(ids)


def test_decodes_any_ids_as_sentencepiece() -> None:
    """Ids in any order: broken characters, control tokens in the middle, the unknown piece."""
    draw = random.Random(2)
    for _ in range(12_000):
        ids = [
            draw.choice((draw.randrange(32_000), draw.randrange(300), 28_705, draw.randrange(131, 259)))
            for _ in range(draw.randint(0, 14))
        ]
        assert TOKENIZER.decode(ids) == REFERENCE.decode(ids), ids


@pytest.mark.parametrize("length", range(1, 70))
def test_runs_of_spaces_merge_as_in_sentencepiece(length: int) -> None:
    for text in (" " * length, "x" + " " * length, " " * length + "y", "\n" + " " * length + "\n"):
        assert TOKENIZER.encode(text) == REFERENCE.encode(text)


def test_python_sources_are_equal() -> None:
    for path in sorted(Path(__file__).parents[2].joinpath("workbench").rglob("*.py"))[:40]:
        text = path.read_text(encoding="utf-8")
        assert TOKENIZER.encode(text) == REFERENCE.encode(text), path


def test_identity() -> None:
    assert (TOKENIZER.bos_id, TOKENIZER.eos_id, TOKENIZER.vocab_size) == (1, 2, 32_000)
    assert TOKENIZER.is_v1
    assert TOKENIZER.sha256 == built.V1_SHA256
    assert TOKENIZER.special_texts == ("<unk>", "<s>", "</s>")
    assert not {0, 1, 2} & set(TOKENIZER.encode("<s>a</s><unk>"))


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", 7, None, b"bytes"])
def test_what_is_no_text_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(PromptError):
        TOKENIZER.encode(value)  # type: ignore[arg-type]


def test_another_model_file_is_not_taken_for_v1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "V1_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="reinstall"):
        built.v1_model_file()


def test_a_folder_with_v1_pieces_gets_the_exact_tokenizer_and_keeps_its_template(saved: Path, tmp_path: Path) -> None:
    """Files whose merges are ranked wrongly, as conversions by id are, do no harm."""
    document = json.loads((saved / "tokenizer.json").read_text(encoding="utf-8"))
    document["model"]["merges"].reverse()
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "[INST] {{ messages[0].content }} [/INST]"}), encoding="utf-8"
    )
    found = load_tokenizer(tmp_path)
    assert found.is_v1
    assert found.encode("        x") == REFERENCE.encode("        x")
    assert found.chat_template == "[INST] {{ messages[0].content }} [/INST]" != TOKENIZER.chat_template
    assert found.byte_table is TOKENIZER.byte_table, "built once, for all models with this tokenizer"


def test_a_bare_model_file_with_added_tokens_is_built_exactly(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(built.v1_model_file().read_bytes())
    assert load_tokenizer(tmp_path).is_v1
    added = {"32000": {"content": "<|im_end|>", "special": True}, "32001": {"content": "<|im_start|>", "special": True}}
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": added, "eos_token": "<|im_end|>"}), encoding="utf-8"
    )
    found = load_tokenizer(tmp_path)
    assert not found.is_v1
    assert (found.vocab_size, found.eos_id, found.bos_id) == (32_002, 32_000, 1)
    draw = random.Random(3)
    for _ in range(300):
        text = awkward_text(draw)
        assert found.encode(text) == REFERENCE.encode(text)
    assert 32_000 not in found.encode("typed <|im_end|> stays text")
    assert found.encode_rendered("<|im_start|>user")[0][0] == 32_001


def test_a_byte_level_tokenizer_decodes_as_its_own_library(byte_level: Path) -> None:
    found = load_tokenizer(byte_level)
    assert not found.is_v1
    assert found.byte_table is not None
    draw = random.Random(4)
    for _ in range(500):
        text = awkward_text(draw)
        ids = found.encode(text)
        assert found.decode(ids) == found.hf.decode(ids, skip_special_tokens=True) == text


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level tokenizer of another family, trained here, with a control token of its own."""
    backend = BackendTokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=["<|bos|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 3, trainer)
    folder = tmp_path_factory.mktemp("byte-level")
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|end|>").save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no tokenizer"),
        ({"tokenizer.json": "{"}, "not readable JSON"),
        ({"tokenizer.json": "[]"}, "JSON list"),
        ({"tokenizer.json": '{"model": {"type": "BPE"}}'}, "cannot be read"),
        ({"tokenizer.model": "not a model"}, "cannot be read"),
    ],
)
def test_a_broken_tokenizer_is_one_sentence(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=sentence):
        load_tokenizer(tmp_path)
