"""`workbench inspect`: one question to one model, and what happened inside."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.chat.guardrails import with_safe_prompt
from workbench.cli import files
from workbench.cli.options import DeviceMap, Dtype, LocalOnly, Quantization, Revision, Theta, Window, loaded, switches
from workbench.errors import CaptureError, PromptError
from workbench.models.registry import resolve

if TYPE_CHECKING:
    from workbench.capture.request import Capture
    from workbench.capture.tuned_lens import TunedLens

EXAMPLES = """Examples:

`workbench inspect --model twin-v0.2 --prompt "What is the capital of France?"`

`workbench inspect --model twin-v0.1 --prompt-file question.txt --html report.html --out run.inspection`

`workbench inspect --model twin-v0.1 --window none --theta 1e6 --prompt "What is the capital of France?"`

`workbench inspect --model ./my-checkpoint --plain --prompt "Once upon a time" --max-new-tokens 0`"""


LONG = 4096
"""Tokens of a prompt beyond which the cost is said beforehand, the lens reads blocks of the whole prompt, and a file
holds exact rows of new tokens only unless more is asked for."""


class Kept(StrEnum):
    """How much of the attention is kept; tokens, lens and cache are always."""

    light = "light"
    rows = "rows"
    full = "full"

    def capture(self, long: bool, translators: TunedLens | None = None, sample: int | None = None) -> Capture:
        """The capture of a prompt that is `LONG` or not."""
        import workbench as wb

        # -1 is the last token of the prompt, which chose the first new one; "last" goes on with every new token.
        rows: Any = [-1] if self is Kept.light else "last"
        chosen = wb.Capture.full() if self is Kept.full else wb.Capture(attention=wb.AttentionCapture(rows=rows))
        assert chosen.lens is not None
        assert chosen.attention is not None
        return replace(
            chosen,
            attention=replace(chosen.attention, sample=sample, maximum=long),
            lens=replace(chosen.lens, translators=translators, blocks=64 if long else 0),
        )


def inspect(
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, a hub id or a folder.")] = "twin-v0.2",
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="What to ask.", show_default=False)] = None,
    prompt_file: Annotated[
        str | None, typer.Option(help="Read the prompt from a UTF-8 file; - is standard input.", show_default=False)
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system message before the prompt.", show_default=False)] = None,
    safe_prompt: Annotated[
        bool,
        typer.Option("--safe-prompt", help="Mistral's safe prompt as the system message, before one of your own."),
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="The prompt as it is, without the chat format.")] = False,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", "-n", help="Tokens to generate at most; 0 only reads the prompt.")
    ] = 40,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens that hold this share.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from this many likeliest tokens; 0 from all.")] = 0,
    min_p: Annotated[float, typer.Option(help="Leave out tokens below this share of the likeliest one's.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1, tokens that occurred become less likely.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stop after this text; may be repeated.", show_default=False)
    ] = None,
    position: Annotated[
        int | None,
        typer.Option(
            help="The position to look inside; negative counts from the end. Default: the one that chose the "
            "last word.",
            show_default=False,
        ),
    ] = None,
    capture: Annotated[
        Kept | None,
        typer.Option(
            help="rows: the attention of each new token. full: of every token, as reports show it. light: of the last "
            "prompt token, for long prompts. Default: full when a file is written of at most 4096 tokens, else rows.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Work out attention maps from this many query rows of each block (even), as a quick look at a long "
            "prompt. Default: from all.",
            show_default=False,
        ),
    ] = None,
    lens: Annotated[
        Path | None,
        typer.Option(
            help="Read the layers through this tuned lens, a file of `workbench lens train`.", show_default=False
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a report that opens in any browser.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the inspection, for `workbench show` and `wb.open`.", show_default=False)
    ] = None,
    window: Window = None,
    theta: Theta = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Read and write under this cache policy: sinks=4+252, snapkv=25%, 4bit (`workbench cache --policies` "
            "lists them). Default: the model's own cache.",
            show_default=False,
        ),
    ] = None,
    revision: Revision = None,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quantization: Quantization = None,
    local_files_only: LocalOnly = False,
) -> None:
    """Ask a model and print what happened inside: tokens, attention, logit lens, KV cache."""
    # What can be wrong without a model is said before one is loaded.
    text = files.question(prompt, prompt_file)
    resolve(model)
    switched = switches(window, theta)
    for path in (html, out):
        files.writable(path)
    policy = None
    if cache is not None:
        from workbench.cache_lab.policies import policy as read_policy

        policy = read_policy(cache)
    asked: Any = text
    if not plain:
        asked = [{"role": "user", "content": text}]
        if system is not None:
            asked.insert(0, {"role": "system", "content": system})
        asked = with_safe_prompt(asked, safe_prompt)
    elif system is not None or safe_prompt:
        option = "--system" if system is not None else "--safe-prompt"
        remedy = "A system message needs the chat format"
        raise PromptError(f"{option} with --plain", expected="one of them", remedy=remedy)

    import workbench as wb
    from workbench.cli import summary
    from workbench.cli.progress import reading

    tuned = None if lens is None else wb.TunedLens.load(lens)
    sampling = None
    if max_new_tokens != 0:
        sampling = wb.Sampling(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            stop=tuple(stop or ()),
        )
    console = summary.console()
    chosen = loaded(model, revision, dtype, device_map, quantization, local_files_only).switched(**switched)
    if tuned is not None:
        tuned.check(chosen.loaded)
    encoded = chosen.encode(asked)
    long = len(encoded) > LONG
    looked_into = position is not None or (bool(html or out) and not long)
    wanted = capture or (Kept.full if looked_into else Kept.rows)
    request = wanted.capture(long, tuned, sample)
    if policy is not None and wanted is Kept.full and request.attention is not None:  # every row instead of states
        request = replace(request, attention=replace(request.attention, states=False, rows="all"))
    new = 0 if sampling is None else max(0, min(sampling.max_new_tokens, chosen.context - len(encoded)))
    try:
        request.check(chosen, len(encoded), new)
        if long:
            summary.cost(console, request.estimate(chosen, len(encoded), new))
        with reading(len(encoded)) as progress:
            if sampling is None:
                found = chosen.inspect(encoded, capture=request, progress=progress, cache=policy)
            else:
                run = chosen.generate(encoded, sampling=sampling, capture=request, progress=progress, cache=policy)
                summary.stream(console, run)
                found = run.inspection
    except CaptureError as error:
        if sample is not None and error.what.startswith("sample"):
            raise
        smaller = {Kept.full: "rows or light", Kept.rows: "light"}.get(wanted)
        remedy = f"Take --capture {smaller}, or a shorter prompt" if smaller else "Take a shorter prompt"
        raise CaptureError(error.what, expected=error.expected, remedy=remedy) from error
    summary.write(console, found, position)
    files.write(console, found, html, out)
