"""Exact ``tokenizers`` copies of SentencePiece byte-pair models, first of all of Mistral's v1 model.

Three things make a copy exact, and each is commonly got wrong:

* merges ranked by piece *score*, not by piece id. The runs of ▁ come early in the vocabulary and last in the ranking;
  ranked by id, every indentation in a program splits differently;
* a ▁ put in front of each encoded text and every space turned into ▁, nothing else (no stripping, no Unicode forms);
* the texts ``<s>``, ``</s>`` and ``<unk>`` typed by a user stay text. They become control ids only when the encoder
  places them, so no prompt can end a turn that it does not own.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers
from tokenizers import Tokenizer as BackendTokenizer
from transformers import PreTrainedTokenizerFast

from workbench.errors import CheckpointError

# sha256 of data/tokenizer.model.v1 in mistral_common, the file that Mistral published with both Instruct models.
V1_SHA256 = "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055"
# Numbers of sentencepiece_model.proto: ModelProto.SentencePiece.Type and TrainerSpec.ModelType.
_NORMAL_PIECE, _CONTROL_PIECE = 1, 3
_BYTE_PAIR = 2


def v1_model_file() -> Path:
    """Path of the v1 SentencePiece model inside the installed ``mistral_common``; its sha256 is checked."""
    package = importlib.util.find_spec("mistral_common")  # finds the folder without importing the package (0.5 s)
    folders = list(package.submodule_search_locations or ()) if package else []
    path = Path(folders[0], "data", "tokenizer.model.v1") if folders else Path("tokenizer.model.v1")
    if not path.is_file():
        raise CheckpointError(
            "The v1 tokenizer's model file was not found in mistral_common",
            remedy="Install it with: pip install mistral-common",
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != V1_SHA256:
        raise CheckpointError(
            f"The v1 tokenizer file in mistral_common has the sha256 {found}",
            expected=V1_SHA256,
            remedy="Reinstall it with: pip install --force-reinstall mistral-common",
        )
    return path


def from_sentencepiece(path: Path, added: Mapping[str, Any] | None = None) -> PreTrainedTokenizerFast:
    """The exact tokenizers form of a SentencePiece byte-pair model, with the tokens a fine-tune added to it.

    ``added`` is tokenizer_config.json's added_tokens_decoder: id to a dictionary with content and special.
    """
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    form = model.normalizer_spec
    if model.trainer_spec.model_type != _BYTE_PAIR or form.precompiled_charsmap or form.remove_extra_whitespaces:
        raise ValueError("not a SentencePiece byte-pair model that leaves its text as it is")
    vocabulary = {entry.piece: index for index, entry in enumerate(model.pieces)}
    scores = {entry.piece: entry.score for entry in model.pieces if entry.type == _NORMAL_PIECE}
    unk, bos, eos = (
        model.pieces[index].piece
        for index in (model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id)
    )
    backend = BackendTokenizer(
        models.BPE(
            vocab=vocabulary, merges=_merges(vocabulary, scores), unk_token=unk, fuse_unk=True, byte_fallback=True
        )
    )
    prefix = [normalizers.Prepend("▁")] if form.add_dummy_prefix else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if form.add_dummy_prefix else []
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    control = {entry.piece: True for entry in model.pieces if entry.type == _CONTROL_PIECE}
    for _, token in sorted((added or {}).items(), key=lambda entry: int(entry[0])):
        control[str(token["content"])] = bool(token.get("special", False))
    backend.add_tokens([AddedToken(text, special=special, normalized=False) for text, special in control.items()])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=unk,
        bos_token=bos,
        eos_token=eos,
        add_bos_token=True,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )


def _merges(vocabulary: dict[str, int], scores: dict[str, float]) -> list[tuple[str, str]]:
    """Every pair of pieces that forms a piece, the best score first: the order in which SentencePiece merges.

    SentencePiece breaks ties of the score by place in the text, leftmost first; a merge table cannot. Only the runs of
    ▁ tie (all have score -1e9), and for them "the longest left part first" has the same effect: after the first two ▁
    of a run of 60 have merged, the pair (2, 1) outranks a fresh pair (1, 1) further right, and so on up to the longest
    run, 16 = (14, 2). Both ways give 16 + 16 + 16 + 12.
    """
    pairs = [
        (-score, -len(piece[:cut]), piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    pairs.sort(key=lambda pair: (pair[0], pair[1], vocabulary[pair[2]]))
    return [(left, right) for _, _, left, right in pairs]
