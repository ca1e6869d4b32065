"""The Python that reproduces a panel with the public library: the same model, prompt, sampling and capture, then the
selection of labelled arrays that the panel shows. What stands in it comes from the run's provenance, checked value by
value: a file made by somebody else can put numbers and quoted texts into the code, never code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from workbench.capture.request import AttentionCapture, AttributionCapture, LensCapture
from workbench.errors import CaptureError
from workbench.generation.sampling import Sampling
from workbench.inspection.inspection import Inspection
from workbench.views.lens import around

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PANELS = ("tokens", "attention", "lens", "cache", "next")
_LINE = 96  # characters of a long text on one line of the code
_SLICE = re.compile(r"slice\((-?\d{1,9}|None), (-?\d{1,9}|None), (-?\d{1,9}|None)\)")


def code(inspection: Inspection, panel: str, token: int, layer: int = 0, head: int | None = None) -> str:
    """A program that ends with what ``panel`` shows of ``token``; ``head`` is its number in the model, None for the
    mean of all heads. It defines model, found and what `ending` says. Raises CaptureError for another panel."""
    rows, span = row_source(inspection, token), lens_span(inspection, token)
    return f"{beginning(inspection)}\n{ending(panel, token, layer, head, rows, span)}"


def beginning(inspection: Inspection, file: str = "run.inspection") -> str:
    """Lines that define ``found``: the run made again, or, where its prompt is not known (a file of an earlier
    version), read from ``file``."""
    prompt = _prompt(inspection.provenance)
    if prompt is None:
        return f"import workbench as wb\n\nfound = wb.open({_text(file)})  # this run kept no prompt to run again\n"
    settings = _mapping(inspection.provenance.get("settings"))
    run = [f"prompt = {prompt}", ""]
    capture = _capture(_mapping(settings.get("capture")))
    steps = len(inspection.record.step_texts)
    policy = f", cache={_text(said)}" if (said := _policy(inspection)) else ""
    if settings.get("sampling") is None or not steps:
        run.append(f"found = model.inspect(prompt, {capture}{policy})")
    else:
        sampling = dict(_mapping(settings["sampling"]))
        if inspection.record.finish_reason == "stopped":  # as far as it came
            sampling["max_new_tokens"] = steps
        begin = settings.get("begin")
        given = f", begin={begin!r}" if _numbers(begin) and begin else ""
        run += [f"run = model.generate(prompt, {_made('wb.Sampling', Sampling, sampling)}, {capture}{given}{policy})"]
        run += ["for step in run:", "    pass", "found = run.inspection"]
    return "\n".join(["import workbench as wb", "", f"model = {_model(inspection)}", *run, ""])


def ending(
    panel: str, token: int | str, layer: int | str = 0, head: int | str | None = None, rows: str = "kept",
    span: tuple[int | str, int | str] = (0, 0),
) -> str:  # fmt: skip
    """Lines that select what ``panel`` shows; ``rows`` tells where the token's attention comes from (`row_source`),
    ``span`` is the first and last position of the lens grid.

    attention: maps (head, query_block, key_block), shown (the chosen head's, or the mean), reads (key,), readers
    (query,). lens: grid, a Dataset. cache: stored and norms. next: before and after, lists of (piece,
    id, logprob). tokens: said, what was predicted at every token.
    """
    if panel == "attention":
        return _attention(token, layer, head, rows)
    if panel == "lens":
        return _lines(
            f"grid = found.lens.sel(position=slice({span[0]}, {span[1]}))",
            "# top_id, top_logprob, target_rank, entropy and kl by (layer, position)",
            "print(grid.target_rank.to_pandas())",
        )
    if panel == "cache":
        return _lines(
            'stored = found.kv_cache[["bytes", "logical_length", "physical_length", "evicted"]].to_dataframe()',
            'norms = found.kv_cache[["key_norm", "value_norm"]].mean("kv_head")  # (layer, position)',
            'kept = found.kv_cache["kept"]  # (layer, kv_head, position): which tokens each head stores',
            "print(stored)",
        )
    if panel == "next":
        return _lines(
            "from workbench.inspection.predictions import predictions",
            "",
            f"token = {token}",
            "said = predictions(found)",
            "before = said.top.get(token)  # [(piece, id, log-probability)]: what could have stood here",
            "after = said.top.get(token + 1)",
            'print(before, after, sep="\\n")',
        )
    if panel == "tokens":
        return _lines(
            "from workbench.inspection.predictions import predictions",
            "",
            "said = predictions(found)  # logprob, rank and entropy of every token, in nats, NaN where unknown",
            "for i, piece in enumerate(found.tokens):",
            "    print(i, repr(piece), said.logprob[i], said.rank[i], said.entropy[i])",
        )
    raise CaptureError(f"there is no panel {panel[:40]!r}", expected=", ".join(PANELS))


def pack(inspection: Inspection) -> dict[str, Any]:
    """Everything a host without Python needs to put the code together: ``begin``; ``ends`` by panel, of attention by
    "rows/one" and "rows/mean", with @token@, @layer@, @head@, @low@ and @high@ to fill in; ``rows``, the
    positions with a kept row, None when every row can be worked out from states; ``zoom``, before which position a row
    that was not kept comes from one more forward."""
    marks: dict[str, Any] = {"token": "@token@", "layer": "@layer@", "span": ("@low@", "@high@")}
    ends = {panel: ending(panel, **marks) for panel in PANELS if panel != "attention"}
    for rows in ("kept", "zoom", "none"):
        ends[f"attention/{rows}/one"] = ending("attention", **marks, head="@head@", rows=rows)
        ends[f"attention/{rows}/mean"] = ending("attention", **marks, rows=rows)
    attention = inspection.attention
    rows_kept = [] if attention is None or attention.rows is None else attention.rows["query"].values.tolist()
    zoom = attention is not None and _prompt(inspection.provenance) is not None and not _policy(inspection)
    return {
        "begin": beginning(inspection),
        "ends": ends,
        "rows": None if has_states(inspection) else rows_kept,
        "zoom": inspection.prompt_length if zoom else 0,
    }


def row_source(inspection: Inspection, token: int) -> str:
    """Where the attention of ``token`` comes from: "kept" states or rows, "zoom" (one more forward over the prompt), or
    "none": it was produced last and never read, or it is of a reply whose rows were not kept."""
    attention = inspection.attention
    if attention is None:
        return "none"
    if has_states(inspection):
        return "kept" if token < inspection.arrays["attention.queries"].shape[2] else "none"
    if attention.rows is not None and token in attention.rows["query"].values:
        return "kept"
    known = _prompt(inspection.provenance) is not None and not _policy(inspection)
    return "zoom" if known and token < inspection.prompt_length else "none"


def _policy(inspection: Inspection) -> str:
    """The cache policy of the run, as it is said; "" for the model's own cache. `Model.zoom` reads under none."""
    said = _mapping(inspection.provenance.get("settings")).get("cache")
    return said if isinstance(said, str) else ""


def has_states(inspection: Inspection) -> bool:
    """Whether any row or column can be worked out exactly."""
    return "attention.queries" in inspection.arrays


def _attention(token: int | str, layer: int | str, head: int | str | None, rows: str) -> str:
    lines = [f"token, layer = {token}, {layer}" if head is None else f"token, layer, head = {token}, {layer}, {head}"]
    one = '.mean("head")' if head is None else ".sel(head=head)"
    lines += ["maps = found.attention.map.sel(layer=layer)  # (head, query_block, key_block)", f"shown = maps{one}"]
    pick = ".mean(axis=0)" if head is None else "[found.attention.heads.index(head)]"
    if rows == "kept":
        lines += [f"reads = found.attention.row(token, layer){pick}  # (key,): what the token reads, exact"]
        lines += ['if "attention.queries" in found.arrays:  # who reads it, (query,), needs kept states']
        lines += [f"    readers = found.attention.column(token, layer){pick}"]
    elif rows == "zoom":
        lines += ["# its row was not kept: one forward over the prompt up to it"]
        lines += ["row = model.zoom(prompt, layer, slice(token, token + 1), slice(0, token + 1))"]
        lines += [f"reads = row[:, 0]{one}  # (key,)"]
    lines.append("print(found.attention)" if rows == "none" else "print(reads)")
    return _lines(*lines)


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def lens_span(inspection: Inspection, token: int) -> tuple[int, int]:
    """First and last position of the lens grid around ``token``."""
    if inspection.lens is None or not inspection.lens.sizes["position"]:
        return token, token
    shown = around(inspection, token)
    return shown[0], shown[-1]


def _model(inspection: Inspection) -> str:
    """wb.load(...) with the revision, dtype, device and switches of the run."""
    found = inspection.provenance
    given = found.get("switched_from")
    name = str(given if isinstance(given, str) else found.get("model", inspection.model["name"]))
    options = []
    for key in ("revision", "quantization"):
        if isinstance(found.get(key), str):
            options.append(f"{key}={_text(found[key])}")
    dtype, device = inspection.model["dtype"], inspection.model["device"]
    if not device.startswith("cpu"):
        options.append(f"dtype={_text(dtype)}, device_map={_text(device.split(':')[0])}")
    elif dtype != "float32":
        options.append(f"dtype={_text(dtype)}")
    switches = _mapping(inspection.model.get("switches"))
    turned = [f"{key}={switches[key]!r}" for key in ("window", "theta") if key in switches and _plain(switches[key])]
    if silent := _silent(switches.get("silent")):
        turned.append(f"silent={silent}")
    return f"wb.load({', '.join([_text(name), *options])})" + (f".switched({', '.join(turned)})" if turned else "")


def _silent(found: Any) -> str:
    """Heads as an expression, "" for none; nothing but whole numbers is written."""
    pairs = found if isinstance(found, list) else []
    return f"[{', '.join(f'({int(layer)}, {int(head)})' for layer, head in pairs)}]" if pairs else ""


def _prompt(provenance: Mapping[str, Any]) -> str | None:
    """The prompt as an expression, None when the run does not say."""
    said = _mapping(provenance.get("settings")).get("prompt")
    if isinstance(said, str):
        return _text(said)
    if not isinstance(said, list) or not said:
        return None
    if not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in said
    ):
        return None
    written = [f'{{"role": {_text(m["role"])}, "content": {_text(m["content"], 8)}}}' for m in said]
    return f"[{written[0]}]" if len(written) == 1 else "[\n    " + ",\n    ".join(written) + ",\n]"


def _capture(asked: Mapping[str, Any]) -> str:
    parts = []
    for key, kind in (("attention", AttentionCapture), ("lens", LensCapture), ("attribution", AttributionCapture)):
        if asked.get(key) is not None:
            written = _made(f"wb.{kind.__name__}", kind, _mapping(asked[key]))
            if written != f"wb.{kind.__name__}()" or key == "attribution":
                parts.append(f"{key}={written}")
        elif key != "attribution":
            parts.append(f"{key}=None")
    if asked.get("kv_cache") is False:
        parts.append("kv_cache=False")
    return f"capture=wb.Capture({', '.join(parts)})"


def _made(name: str, kind: type[DataclassInstance], settings: Mapping[str, Any]) -> str:
    """``name(...)`` with the settings that are not ``kind``'s defaults."""
    parts = []
    for one in fields(kind):
        value, usual = settings.get(one.name), one.default if one.default is not MISSING else None
        value = tuple(value) if isinstance(usual, tuple) and isinstance(value, list) else value
        if one.name == "translators" and isinstance(value, Mapping):
            value = "a file of the tuned lens"
        if one.name in settings and value != usual and (written := _plain(value)):
            parts.append(f"{one.name}={written}")
    return f"{name}({', '.join(parts)})"


def _plain(value: Any) -> str:
    """A number, a text, None, a slice or a list of those as an expression; "" for anything else."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _SLICE.fullmatch(value) else _text(value)
    if isinstance(value, list | tuple) and all(isinstance(one, int | float | str) for one in value):
        written = ", ".join(_plain(one) for one in value)
        return f"({written},)" if isinstance(value, tuple) else f"[{written}]"
    return ""


def _text(text: str, indent: int = 4) -> str:
    """A string literal; a long one in several lines. Invisible characters and half characters are escaped."""
    if len(text) <= _LINE:
        return _quoted(text)
    lines, rest = [], text
    while rest:
        cut = rest.rfind(" ", 0, _LINE) + 1 if len(rest) > _LINE else len(rest)
        lines.append(_quoted(rest[: cut or _LINE]))
        rest = rest[cut or _LINE :]
    pad = "\n" + " " * indent
    return "(" + pad + pad.join(lines) + "\n" + " " * (indent - 4) + ")"


def _quoted(text: str) -> str:
    written = repr(text)
    return f'"{written[1:-1]}"' if written.startswith("'") and '"' not in text else written


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
