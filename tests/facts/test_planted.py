"""Differences planted in a copy of a twin, each found and named: a tensor, a template, a field of the config."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import workbench as wb
from tests.facts.test_identity import twin_with
from workbench.errors import CheckpointError, UnknownModelError
from workbench.facts import check_tensors, identity, read_other, stated_template
from workbench.models import open_checkpoint, v1_tokenizer
from workbench.models.registry import assets_folder
from workbench.models.tensor_hashes import REGISTER, read_tensors, write_register

A = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token + ' ' }}{% endif %}{% endfor %}"
)
B = A.replace("eos_token + ' '", "eos_token")
C = B.replace("'[INST] '", "' [INST] '").replace("{{ m['content']", "{{ ' ' + m['content']")
ZEPHYR = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
UP = "model.layers.3.mlp.up_proj.weight"


def changed(folder: Path, **tensors: object) -> Path:
    """A copy of twin-v0.2 with tensors replaced by ``change(tensor)``, or left out where it is None."""
    shutil.copytree(assets_folder() / "twins" / "v0.2", folder)
    held = load_file(folder / "model.safetensors")
    for name, change in tensors.items():
        held[name] = change(held[name])  # type: ignore[operator]
    save_file({name: one.contiguous().clone() for name, one in held.items()}, folder / "model.safetensors")
    return folder


def nudged(tensor: torch.Tensor) -> torch.Tensor:
    other = tensor.clone()
    other[5, 7] += 0.01
    return other


def test_one_altered_number_is_named_with_its_tensor(tmp_path: Path) -> None:
    folder = changed(tmp_path / "bad", **{UP: nudged})
    for against in (None, "twin-v0.2", assets_folder() / "twins" / "v0.2"):
        card = identity(wb.load(str(folder)), against=against)
        assert [fact.name for fact in card.conflicts] == ["tensors"]
        assert UP in card["tensors"].loaded and "55 of 56" in card["tensors"].loaded
        assert card.tensors is not None and card.tensors.altered == (UP,)
        assert card.tensors.table()["state"].value_counts().to_dict() == {"as published": 55, "altered": 1}


def test_a_folder_without_register_is_read_as_reference(tmp_path: Path) -> None:
    other = changed(tmp_path / "other", **{UP: nudged})
    (other / REGISTER).unlink()
    report = identity(wb.load("twin-v0.2"), against=other).tensors
    assert report is not None and report.altered == (UP,)


def test_hashes_cover_dtype_shape_and_every_byte() -> None:
    """Against hashes and numbers taken with safetensors and torch."""
    import hashlib

    file = assets_folder() / "twins" / "v0.1" / "model.safetensors"
    held = load_file(file)
    for one in read_tensors([file]):
        tensor = held.pop(one.name)
        raw = tensor.view(torch.uint16).numpy().tobytes()
        assert one.sha256 == hashlib.sha256(f"BF16 {list(tensor.shape)}\n".encode() + raw).hexdigest()
        assert one.rms == pytest.approx(float(tensor.double().square().mean().sqrt()), rel=1e-6)
        assert (one.largest, one.not_finite) == (float(tensor.float().abs().max()), 0)
    assert held == {}


@pytest.mark.parametrize("version", ["v0.1", "v0.2"])
def test_the_shipped_register_is_that_of_the_shipped_weights(version: str, tmp_path: Path) -> None:
    folder = assets_folder() / "twins" / version
    write_register(tmp_path, read_tensors([folder / "model.safetensors"]))
    assert (tmp_path / REGISTER).read_text() == (folder / REGISTER).read_text()


def test_what_is_odd_without_a_reference(tmp_path: Path) -> None:
    first, second = (f"model.layers.{n}.self_attn.q_proj.weight" for n in (1, 2))
    twin = load_file(assets_folder() / "twins" / "v0.2" / "model.safetensors")
    folder = changed(
        tmp_path / "odd",
        **{
            UP: torch.zeros_like, first: lambda _: twin[second], "model.layers.0.mlp.up_proj.weight": lambda t: t * 9,
            "model.layers.4.mlp.gate_proj.weight": lambda t: t.float(),
            "model.layers.5.self_attn.v_proj.weight": lambda t: torch.where(t > 0.5, torch.nan, t),
        },
    )  # fmt: skip
    (folder / REGISTER).unlink()
    report = check_tensors(open_checkpoint(folder))
    assert report.same is None and "no published hashes" in str(report)
    said = " | ".join(report.oddities)
    count = int((twin["model.layers.5.self_attn.v_proj.weight"] > 0.5).sum())
    assert f"model.layers.5.self_attn.v_proj.weight holds {count:,} numbers that are not finite" in said
    assert f"{UP} is all zeros" in said
    assert f"{first}, {second} are the same numbers" in said
    assert "model.layers.0.mlp.up_proj.weight has a root mean square" in said
    assert "dtypes are mixed: 55 BF16, 1 F32" in said
    assert len(report.oddities) == 5
    assert np.isfinite([one.rms for one in report.records]).all()


@pytest.mark.parametrize(
    ("template", "kind", "difference"),
    [(A, "A", "'Par', '▁Paris' in the reference"), (B, "B", "'Par', '▁Paris' in the reference"),
     (C, "C", "token 1 is"), (ZEPHYR, "own", "token 0 is '▁<', '<s>' in the reference"),
     ("{{ raise_exception('never') }}", "own", "refuses a conversation of two turns (never)")],
)  # fmt: skip
def test_a_swapped_template_is_named(tmp_path: Path, template: str, kind: str, difference: str) -> None:
    found = stated_template(v1_tokenizer().with_template(template))
    assert found.kind == kind and difference in found.difference and not found.agrees
    if kind in ("A", "own") and "raise" not in template:
        folder = twin_with(tmp_path / "t", "v0.2")
        (folder / "chat_template.jinja").write_text(template)
        card = identity(wb.load(str(folder)), against="twin-v0.2")
        assert {fact.name for fact in card.conflicts} == {"chat template", "fields of twin-v0.2"}
        assert ("template A" if kind == "A" else "none of A, B, C") in card["chat template"].stated
        assert card.contrast is not None and "chat template" in dict(card.contrast.table()["here"])


def test_a_changed_theta_is_named_whatever_its_spelling(tmp_path: Path) -> None:
    folder = twin_with(tmp_path / "t", "v0.2", theta=1e4)
    config = json.loads((folder / "config.json").read_text())
    config |= {"rope_theta": config.pop("rope_parameters")["rope_theta"], "torch_dtype": config.pop("dtype")}
    (folder / "config.json").write_text(json.dumps(config))
    card = identity(wb.load(str(folder)), against="twin-v0.2")
    assert card.contrast is not None and card.contrast.rows == (("rope theta", "1e4", "1e6"),)
    assert card["tensors"].agrees


def test_what_is_not_known_of_the_7b_pair_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    other = read_other("v0.2")
    assert other.tensors is None and other.fields == {"sliding_window": "null", "rope theta": "1e6"}
    card = identity(wb.load("twin-v0.2"), against=other)
    assert card["tensors"].stated == "hashes of v0.2 are not known here"
    assert card["fields of v0.2"].loaded == "all 2 fields as in v0.2"
    with pytest.raises(UnknownModelError):
        read_other("no-such")


def test_a_malformed_register_is_a_sentence(tmp_path: Path) -> None:
    folder = twin_with(tmp_path / "t", "v0.1")
    (folder / REGISTER).write_text('{"format": 1, "sha256": {"x": 5}}')
    with pytest.raises(CheckpointError, match="no register of tensors"):
        identity(wb.load(str(folder)))
