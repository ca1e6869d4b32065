"""Bytes of a model's weights in each format: a small table, one row a format."""

from __future__ import annotations

from collections.abc import Callable

from workbench.models.shape import ModelShape

_Q4_K, _Q6_K, _Q8_0 = 144 / 256, 210 / 256, 34 / 32
"""Bytes a weight of llama.cpp's block formats: 4.5, 6.5625 and 8.5 bits."""


def _plain(size: int) -> Callable[[ModelShape], int]:
    return lambda shape: size * shape.parameters


def _rest(shape: ModelShape) -> int:
    """What bitsandbytes leaves as it is: embeddings, unembedding and norms, two bytes each."""
    return 2 * (shape.embedding * (2 - shape.tied) + shape.norms)


def _rows(shape: ModelShape) -> int:
    """Output features of one layer's seven matrices."""
    return (
        shape.heads * shape.head_dim + 2 * shape.kv_heads * shape.head_dim + 2 * shape.intermediate + 2 * shape.hidden
    )


def _int8(shape: ModelShape) -> int:
    """bitsandbytes LLM.int8: a byte a weight, and a float32 scale a row."""
    return shape.layers * (sum(shape.matrices.values()) + 4 * _rows(shape)) + _rest(shape)


def _nf4(shape: ModelShape) -> int:
    """bitsandbytes NF4: half a byte a weight, and a float32 scale for every 64."""
    return shape.layers * sum(-(-size // 2) + 4 * -(-size // 64) for size in shape.matrices.values()) + _rest(shape)


def _q8_0(shape: ModelShape) -> int:
    return int((shape.parameters - shape.norms) * _Q8_0) + 4 * shape.norms


def _q4_k_m(shape: ModelShape) -> int:
    """llama.cpp's mixture: six bits for the unembedding and, in half of the layers, for the values and the MLP's last
    matrix; four for all else (`llama_tensor_get_type` of llama.cpp)."""
    n = shape.layers
    finer = sum(i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2 for i in range(n))
    six = shape.embedding + finer * (shape.matrices["v_proj"] + shape.matrices["down_proj"])
    four = shape.parameters - shape.norms - six
    return int(four * _Q4_K + six * _Q6_K) + 4 * shape.norms


FORMATS: dict[str, Callable[[ModelShape], int]] = {
    "float32": _plain(4), "bfloat16": _plain(2), "float16": _plain(2),
    "8bit": _int8, "4bit": _nf4, "Q8_0": _q8_0, "Q4_K_M": _q4_k_m,
}  # fmt: skip
"""Name -> bytes. float32 to 4bit are what `wb.load` can hold; Q8_0 and Q4_K_M are llama.cpp's files, for comparison."""
