"""A result as JSON with arrays beside it, and back: what a field may hold is read off its annotation, so a file can
name no class and no code."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import BaseModel

Arrays = dict[str, np.ndarray]
_TEXTS = ("object", "str", "string", "Int64", "boolean")
"""Dtypes of columns that are kept as lists."""


def encode(value: Any, arrays: Arrays) -> Any:
    """``value`` as JSON-able data; its arrays go into ``arrays`` under counted names. A class with ``as_saved`` says
    itself what is kept."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": _kept(value, arrays)}
    if isinstance(value, pd.DataFrame):
        return _encode_frame(value, arrays)
    if isinstance(value, xr.DataArray):
        coords = [[str(name), list(one.dims), _column(np.asarray(one.values), arrays)]
                  for name, one in value.coords.items()]  # fmt: skip
        return {"values": _kept(value.values, arrays), "dims": list(value.dims), "coords": coords, "name": value.name}
    if hasattr(value, "as_saved"):
        return value.as_saved()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: encode(getattr(value, one.name), arrays) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: encode(one, arrays) for key, one in value.items()}
        return [[encode(key, arrays), encode(one, arrays)] for key, one in value.items()]
    if isinstance(value, list | tuple | set | frozenset | range):
        return [encode(one, arrays) for one in value]
    return str(value)


def decode(kind: Any, value: Any, arrays: Arrays) -> Any:
    """The value of annotation ``kind`` that `encode` made ``value`` of. Raises ValueError, TypeError or KeyError where
    it is none."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return value
    if origin in (typing.Union, types.UnionType):
        return _first(parts, value, arrays)
    if origin is typing.Literal:
        return _checked(value, value in parts)
    if kind is None or kind is type(None):
        return _checked(value, value is None)
    if kind is float:
        return float(_checked(value, isinstance(value, int | float) and not isinstance(value, bool)))
    if kind in (bool, int, str):
        return _checked(value, type(value) is kind)
    if kind is np.ndarray or origin is np.ndarray:
        return arrays[value["array"]]
    if kind is pd.DataFrame:
        return _decode_frame(value, arrays)
    if kind is xr.DataArray:
        coords = {name: (dims, _values(one, arrays)) for name, dims, one in value["coords"]}
        return xr.DataArray(arrays[value["values"]], dims=value["dims"], coords=coords, name=value["name"])
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        pairs = value.items() if isinstance(value, dict) else value
        return {decode(parts[0], key, arrays): decode(parts[1], one, arrays) for key, one in pairs}
    if origin is tuple or origin is list:
        _checked(value, isinstance(value, list))
        if origin is tuple and parts[-1] is not Ellipsis:
            return tuple(decode(part, one, arrays) for part, one in zip(parts, value, strict=True))
        return origin(decode(parts[0], one, arrays) for one in value)
    return _decode_class(kind, value, arrays)


def _decode_class(kind: Any, value: Any, arrays: Arrays) -> Any:
    if hasattr(kind, "of_saved"):
        return kind.of_saved(value)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(value)
    if isinstance(kind, type) and issubclass(kind, tuple):  # a NamedTuple
        fields = list(_hints(kind).values())
        return kind(*(decode(part, one, arrays) for part, one in zip(fields, value, strict=True)))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        names = {one.name for one in dataclasses.fields(kind)}
        _checked(value, isinstance(value, dict) and set(value) == names)
        made = kind(**{name: decode(hints[name], value[name], arrays) for name in names})
        if (wrong := getattr(made, "contradiction", lambda: None)()) is not None:
            raise ValueError(wrong)
        return made
    raise TypeError(f"nothing is known of {kind}")


@lru_cache(maxsize=256)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _first(kinds: tuple[Any, ...], value: Any, arrays: Arrays) -> Any:
    """The first of a union's kinds that fits."""
    for kind in kinds:
        try:
            return decode(kind, value, arrays)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    raise ValueError("nothing fits")


def _checked(value: Any, good: bool) -> Any:
    if not good:
        raise ValueError(f"{str(value)[:40]!r} does not fit")
    return value


def _kept(values: np.ndarray, arrays: Arrays) -> str:
    name = f"array{len(arrays)}"
    arrays[name] = np.ascontiguousarray(values)
    return name


def _column(values: Any, arrays: Arrays) -> dict[str, Any]:
    """A column: numbers as an array, everything else as a list with its dtype."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return {"array": _kept(np.asarray(values), arrays)}
    said = str(dtype) if str(dtype) in _TEXTS else "object"
    return {"list": [None if one is pd.NA else encode(one, arrays) for one in values.tolist()], "dtype": said}


def _values(column: Mapping[str, Any], arrays: Arrays) -> Any:
    return arrays[column["array"]] if "array" in column else column["list"]


def _encode_frame(frame: pd.DataFrame, arrays: Arrays) -> dict[str, Any]:
    names = [name for name in frame.index.names if name is not None]
    whole = frame.reset_index() if names else frame.reset_index(drop=True)
    return {"columns": [[str(name), _column(whole[name], arrays)] for name in whole.columns], "index": names,
            "rows": len(whole)}  # fmt: skip


def _decode_frame(value: Mapping[str, Any], arrays: Arrays) -> pd.DataFrame:
    columns = {}
    for name, one in value["columns"]:
        if "dtype" in one:
            _checked(one["dtype"], one["dtype"] in _TEXTS)
        columns[name] = pd.Series(_values(one, arrays), dtype=one.get("dtype"))
        _checked(name, len(columns[name]) == value["rows"])
    frame = pd.DataFrame(columns, index=pd.RangeIndex(value["rows"]))
    return frame.set_index(value["index"]) if value["index"] else frame
