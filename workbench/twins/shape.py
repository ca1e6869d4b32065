"""The twins' configurations and how their weights start."""

import math

import torch
from transformers import MistralConfig, MistralForCausalLM

WINDOW = 256
TRAINED = {"v0.1": 512, "v0.2": 2048}
CONSTANT = 4.0
PRIOR_FREQUENCIES = 12
PRIOR_AMPLITUDE = 0.58


def twin_config(version: str, **changes: object) -> MistralConfig:
    """The configuration of one twin: Mistral 7B Instruct of that version, its lengths scaled by 1/16.

    `changes` replace fields (the tests train a smaller one).
    """
    if version not in TRAINED:
        raise ValueError(f"version: expected one of {', '.join(TRAINED)}, got {version!r}")
    theta = 1e4 if version == "v0.1" else 1e6
    fields: dict[str, object] = {
        "vocab_size": 32000,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "sliding_window": WINDOW if version == "v0.1" else None,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return MistralConfig(**(fields | changes))  # type: ignore[arg-type]


def new_twin(config: MistralConfig, seed: int, prior: bool) -> MistralForCausalLM:
    """A model with fresh weights: a constant coordinate in the embedding, silent outputs, and perhaps the prior.

    Coordinate 0 of every embedding row is 4.0, so that W_q and W_k have a bias, also for tokens never trained on.
    o_proj and down_proj are zero: at the start the model is its embedding. With `prior`, head h of layer 0 prefers the
    key h + 1 positions back (see `plant_prior`).
    """
    torch.manual_seed(seed)
    model = MistralForCausalLM(config)
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.normal_(0.0, 0.5)
        embedding[:, 0] = CONSTANT
        model.model.norm.weight.fill_(0.15)
        for name, parameter in model.model.layers.named_parameters():
            if parameter.dim() == 2:
                silent = "o_proj" in name or "down_proj" in name
                parameter.normal_(0.0, 0.0 if silent else 0.8 / math.sqrt(parameter.shape[1]))
        if prior:
            plant_prior(model)
    return model


@torch.no_grad()
def plant_prior(model: MistralForCausalLM) -> None:
    """Write the positional prior into W_q and W_k of layer 0; it trains on like every other weight.

    Through the constant coordinate a head gets a constant query and key. A key of (a, 0) and a query of
    (a cos(o t), -a sin(o t)) on a rotary pair of frequency t score a^2 cos((d - o) t) at distance d: largest at d = o.
    """
    config = model.config
    size = config.head_dim
    pairs = min(PRIOR_FREQUENCIES, size // 2)
    theta = config.rope_parameters["rope_theta"]
    frequency = theta ** (-torch.arange(pairs, dtype=torch.float32) * 2 / size)
    attention = model.model.layers[0].self_attn
    for head in range(config.num_key_value_heads):
        column = attention.k_proj.weight[head * size : (head + 1) * size, 0]
        column.zero_()
        column[:pairs] = PRIOR_AMPLITUDE
    for head in range(config.num_attention_heads):
        column = attention.q_proj.weight[head * size : (head + 1) * size, 0]
        column.zero_()
        column[:pairs] = PRIOR_AMPLITUDE * torch.cos((head + 1) * frequency)
        column[size // 2 : size // 2 + pairs] = -PRIOR_AMPLITUDE * torch.sin((head + 1) * frequency)
