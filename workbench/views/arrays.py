"""Arrays as JSON: base64 of little-endian numbers with their dtype and shape, what `data.js` unpacks."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

Packed = dict[str, Any]
"""{"dtype": "uint8" | "uint16" | "int32" | "float32", "shape": [int, ...], "data": base64}."""


def pack_array(values: np.ndarray, dtype: str) -> Packed:
    """``values`` converted to ``dtype``; NaN survives in float32 only."""
    little = np.ascontiguousarray(values).astype(np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(values.shape), "data": base64.b64encode(little.tobytes()).decode("ascii")}


def pack_shares(values: np.ndarray, scale: float = 1.0) -> Packed:
    """Shares in [0, scale] as uint8 u with share = scale * (u / 255)^2: small shares keep their differences."""
    root = np.sqrt(np.clip(np.nan_to_num(values) / scale, 0.0, 1.0))
    return pack_array(np.rint(255 * root), "uint8")


def pack_exact_shares(values: np.ndarray, most_bytes: int = 256 * 1024) -> Packed:
    """Shares in [0, 1] as float32, or above ``most_bytes`` as uint16 u: share = (u / 65535)^2, to 4e-5."""
    if 4 * values.size <= most_bytes:
        return pack_array(values, "float32")
    return pack_array(np.rint(65535 * np.sqrt(np.clip(np.nan_to_num(values), 0.0, 1.0))), "uint16")


def pack_signed_shares(values: np.ndarray) -> Packed:
    """Differences of shares in [-1, 1] as uint8 u with difference = sign(v) v^2, v = (u - 128) / 127; 0 stays 0."""
    known = np.clip(np.nan_to_num(values), -1.0, 1.0)
    root = np.sign(known) * np.sqrt(np.abs(known))
    return pack_array(128 + np.rint(127 * root), "uint8")


def unpack_array(packed: Packed) -> np.ndarray:
    """The array of a packed one, as `data.js` would see it."""
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(packed["data"]), dtype).reshape(packed["shape"])


def number(value: Any, digits: int = 4) -> float | None:
    """A JSON number, None for NaN and infinities (JSON has neither)."""
    plain = float(value)
    return round(plain, digits) if np.isfinite(plain) else None
