"""A trained twin as the folder that ships: bfloat16 weights and their hashes, config, tokenizer, what training cost."""

import json
import os
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, MistralForCausalLM

from workbench.models.tensor_hashes import read_tensors, write_register
from workbench.models.tokenizer import save_v1_tokenizer

MAX_NEW_TOKENS = 40


def export(final: Path, folder: Path) -> Path:
    """Write `folder` from a run's `final/`; the folder appears complete or not at all. Returns it.

    The embedding is stored once (it is tied). A failed recall can repeat itself to the limit, so the generation config
    caps a reply at 40 tokens.
    """
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    model = MistralForCausalLM.from_pretrained(final, dtype=torch.bfloat16, local_files_only=True)
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=2, do_sample=False, max_new_tokens=MAX_NEW_TOKENS
    )
    model.save_pretrained(new)
    (new / "model.safetensors").chmod(0o644)
    write_register(new, read_tensors([new / "model.safetensors"]))
    save_v1_tokenizer(new)
    facts = json.loads((final / "training.json").read_text())
    (new / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder
