"""Attention of all layers and heads the way others give it, as whole matrices, beside ours.

    python tests/benchmarks/peers.py --lengths 1024 2048 --rounds 2 [--memory 8]

transformers' output_attentions=True, TransformerLens (run_with_cache, filtered to hook_pattern) and nnsight (what eager
self_attn returns, saved); the last two where they are installed, which the extra "peers" does. Each first reads 48
tokens, and its matrices there must be those of transformers. Times are of the processor, all in turn in every round, as
ratios to that round's plain forward: transformers' own SDPA over the whole prompt, in this process, same weights. All
compute the logits of the last token only. Prints Markdown; what fails says so in its row.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import resource
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch
from measuring import EVERYTHING, SHAPES, bench_model, described, plain_forward, prompt_of, seconds
from torch import Tensor
from transformers import AutoModelForCausalLM, MistralForCausalLM

from workbench.model import Model

Matrices = Sequence[Tensor]
"""One tensor (1, head, query, key) a layer."""
Peer = Callable[[Tensor], Matrices]
"""Token ids (1, token) -> matrices."""


def load(folder: str, attention: str) -> MistralForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32)


def transformers_peer(folder: str) -> Peer:
    model = load(folder, "eager")
    return lambda ids: model(ids, output_attentions=True, logits_to_keep=1).attentions


def transformer_lens_peer(folder: str) -> Peer:
    """TransformerBridge, which took the place of HookedTransformer in 4.0; it forces eager attention."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(folder, hf_model=load(folder, "eager"), device="cpu")
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(bridge.cfg.n_layers)]

    def work(ids: Tensor) -> Matrices:
        _, cache = bridge.run_with_cache(ids, return_cache_object=False, names_filter=names, logits_to_keep=1)
        return [cache[name] for name in names]

    return work


def nnsight_peer(folder: str) -> Peer:
    import nnsight

    model = nnsight.NNsight(load(folder, "eager"))

    def work(ids: Tensor) -> Matrices:
        with model.trace(ids, logits_to_keep=1):
            found = nnsight.save([])
            for layer in model.model.layers:
                found.append(layer.self_attn.output[1])
        return found

    return work


PEERS: dict[str, tuple[str, Callable[[str], Peer]]] = {
    "transformers": ("transformers {}, output_attentions=True", transformers_peer),
    "transformer_lens": ("TransformerLens {}, hook_pattern", transformer_lens_peer),
    "nnsight": ("nnsight {}, self_attn", nnsight_peer),
}
"""Package -> its row's name, and what builds it from a folder of weights."""


def checked(peer: Peer, reference: Peer, ids: Tensor) -> None:
    """Raises ValueError where the peer's matrices are not the reference's."""
    with torch.inference_mode():
        found, wanted = peer(ids), reference(ids)
    shapes = [tuple(one.shape) for one in found]
    if shapes != [tuple(one.shape) for one in wanted]:
        raise ValueError(f"gives matrices of {shapes}")
    distance = max(float((one - other).abs().max()) for one, other in zip(found, wanted))
    if distance > 1e-5:
        raise ValueError(f"its matrices are {distance:.1e} from those of output_attentions=True")


def one_line(error: BaseException) -> str:
    """The error as a cell of a table."""
    text = " ".join(str(error).split()).replace("|", "/")
    return f"{type(error).__name__}: {text[:157] + '...' if len(text) > 160 else text}"


def built(folder: str, ids: Tensor) -> tuple[dict[str, Peer], dict[str, str]]:
    """Peers that work, by package, and why the others do not."""
    peers: dict[str, Peer] = {}
    failed: dict[str, str] = {}
    for package, (_, build) in PEERS.items():
        if importlib.util.find_spec(package) is None:
            failed[package] = "not installed here, not measured"
            continue
        try:
            peer = build(folder)
            checked(peer, peers.get("transformers", peer), ids)
            peers[package] = peer
        except Exception as error:  # whatever a package of another's raises belongs in its row
            failed[package] = one_line(error)
    return peers, failed


def row_name(package: str) -> str:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return PEERS[package][0].format(version).replace(" ,", ",")


def peer_run(peer: Peer, ids: Tensor) -> tuple[float, float]:
    """Processor seconds of one run, and the megabytes of its matrices, which go when this returns."""
    found: list[Matrices] = []
    with torch.inference_mode():
        spent = seconds(lambda: found.append(peer(ids)))
    return spent, sum(one.numel() * one.element_size() for one in found[0]) / 1e6


def rows(model: Model, plain: MistralForCausalLM, peers: dict[str, Peer], tokens: int, rounds: int) -> Iterator[str]:
    """The lines of one length, a peer each: medians, or the error that ended it."""
    prompt = prompt_of(model, tokens)
    ids = torch.tensor([prompt.ids])
    forward = plain_forward(plain, list(prompt.ids))
    bases: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    sizes: dict[str, float] = {}
    errors: dict[str, str] = {}
    for _ in range(rounds):
        bases.append(seconds(forward))
        ours = seconds(lambda: sizes.update(ours=model.inspect(prompt, EVERYTHING).nbytes / 1e6))
        ratios["ours"].append(ours / bases[-1])
        for package in [name for name in peers if name not in errors]:
            try:
                took, sizes[package] = peer_run(peers[package], ids)
                ratios[package].append(took / bases[-1])
            except Exception as error:  # memory above all: torch's own says how much it wanted
                errors[package] = one_line(error)

    def cells(name: str) -> str:
        return f"{errors[name]} | " if name in errors else f"{statistics.median(ratios[name]):.2f} | {sizes[name]:.0f}"

    for package in peers:
        base = f"{statistics.median(bases):.2f}"
        yield f"| {tokens} | {base} | {row_name(package)} | {cells(package)} | {cells('ours')} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lengths", type=int, nargs="+", default=[1024, 2048])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--window", type=int)
    options.add_argument("--shape", choices=list(SHAPES), default="small")
    options.add_argument("--memory", type=float, help="GB it may take for runs, instead of all that is free")
    wanted = options.parse_args()
    shape = SHAPES[wanted.shape]
    with TemporaryDirectory() as folder:
        model = bench_model(Path(folder), wanted.window, shape)
        plain = load(folder, "sdpa")
        short = prompt_of(model, 48)
        peers, failed = built(folder, torch.tensor([short.ids]))
    model.inspect(short)  # builds the kernel
    # With a limit of addresses too large a matrix is torch's error, in its row; without it the kernel ends the process.
    room = psutil.virtual_memory().available if wanted.memory is None else int(wanted.memory * 1e9)
    limit = psutil.Process().memory_info().vms + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print(f"\n**Others**, {described(shape)}, window {wanted.window}, float32, {torch.get_num_threads()} threads, "
          f"{wanted.rounds} rounds, ratios to the same plain forward\n")  # fmt: skip
    print("| tokens | plain (s) | whole matrices by | ratio | its matrices (MB) | everything, compiled "
          "| its results (MB) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for tokens in wanted.lengths:
        for line in rows(model, plain, peers, tokens, wanted.rounds):
            print(line, flush=True)
    for package, why in failed.items():
        print(f"\n{row_name(package)}: {why}.")


if __name__ == "__main__":
    main()
