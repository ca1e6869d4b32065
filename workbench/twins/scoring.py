"""Exact match of greedy answers, heads and lens of a checkpoint: what the evaluation counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import MistralForCausalLM

from .language import Chat, encode_example
from .language.pieces import EOS, PROMPT_WEIGHT, VALUE_WEIGHT

BUDGET = 8192


@dataclass(frozen=True)
class Expected:
    """Ids of a chat, where its answers stand, and which turn each answer token belongs to.

    positions and turns: (answer token,); a token at position p is predicted at p - 1.
    """

    ids: list[int]
    positions: list[int]
    turns: list[int]
    values: list[int]


def expected(chat: Chat) -> Expected:
    """The answers of a chat, EOS included, as positions in its encoding."""
    found = encode_example(chat)
    positions, turns, values, turn = [], [], [], 0
    for position, (piece, weight) in enumerate(zip(found.ids, found.weights, strict=True)):
        if weight <= PROMPT_WEIGHT:
            continue
        positions.append(position)
        turns.append(turn)
        if weight == VALUE_WEIGHT:
            values.append(position)
        turn += piece == EOS
    return Expected(found.ids, positions, turns, values)


def _batches(cases: Sequence[Expected]) -> list[list[int]]:
    """Case numbers grouped by similar length, at most `BUDGET` padded tokens a group."""
    order = sorted(range(len(cases)), key=lambda number: len(cases[number].ids))
    groups: list[list[int]] = []
    for number in order:
        size = len(cases[number].ids)
        if groups and (len(groups[-1]) + 1) * size <= BUDGET:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


@torch.no_grad()
def answered(model: MistralForCausalLM, chats: Sequence[Chat]) -> list[list[bool]]:
    """For each chat and turn, whether greedy decoding over all vocabulary rows gives exactly the expected answer.

    One forward over prompt and expected answer decides it: greedy decoding follows the expected answer to its EOS
    exactly when every token of it is the argmax after the ones before. Earlier turns hold the expected answers.
    """
    cases = [expected(chat) for chat in chats]
    result: list[list[bool]] = [[] for _ in cases]
    for group in _batches(cases):
        longest = max(len(cases[number].ids) for number in group)
        # Padding stands on the right, where no causal query sees it; id 0 is never an answer.
        ids = torch.tensor([cases[n].ids + [0] * (longest - len(cases[n].ids)) for n in group], device=model.device)
        hidden = model.model(ids, use_cache=False).last_hidden_state
        for line, number in enumerate(group):
            case = cases[number]
            positions = torch.tensor(case.positions, device=model.device)
            best = model.lm_head(hidden[line, positions - 1]).argmax(-1)
            right = (best == ids[line, positions]).tolist()
            turns = [True] * (max(case.turns) + 1)
            for turn, hit in zip(case.turns, right, strict=True):
                turns[turn] &= hit
            result[number] = turns
    return result


@dataclass(frozen=True)
class HeadScores:
    """Attention of every head on repeated random words, each (layer, head), and accuracy on the repetition."""

    induction: Tensor
    previous: Tensor
    accuracy: float


@torch.no_grad()
def head_scores(model: MistralForCausalLM, ids: Tensor) -> HeadScores:
    """Induction and previous-token scores over `ids` (row, 1 + 2n): BOS, n random tokens, and the same n again.

    Induction: mean attention of a token's second occurrence to the token after its first (Olsson et al. 2022).
    Previous: mean attention of every token to the one before it. Accuracy: argmax over all vocabulary rows.
    """
    count = (ids.shape[1] - 1) // 2
    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        out = model(ids, output_attentions=True, use_cache=False)
    finally:
        model.set_attn_implementation(chosen)
    attention = torch.stack(out.attentions, 1)  # (row, layer, head, query, key)
    queries = torch.arange(count + 1, 2 * count)
    induction = attention[:, :, :, queries, queries - count + 1].mean((0, -1))
    everyone = torch.arange(1, ids.shape[1])
    previous = attention[:, :, :, everyone, everyone - 1].mean((0, -1))
    right = out.logits[:, count + 1 : -1].argmax(-1) == ids[:, count + 2 :]
    return HeadScores(induction, previous, float(right.float().mean()))


@torch.no_grad()
def lens_ranks(model: MistralForCausalLM, chats: Sequence[Chat]) -> Tensor:
    """Rank (layer + 1, value token) of the right token when the logit lens reads the residual stream; 1 is best.

    Row 0 is the embedding, row l the stream after layer l; only the first value token of each answer is counted, and
    the last row is the model's own output.
    """
    ranks = []
    for chat in chats:
        case = expected(chat)
        ids = torch.tensor([case.ids], device=model.device)
        first = [p for p in case.values if p - 1 not in case.values]
        states = model.model(ids, use_cache=False, output_hidden_states=True).hidden_states
        positions = torch.tensor(first, device=model.device)
        layers = torch.stack([state[0, positions - 1] for state in states])  # (layer + 1, value, hidden)
        layers = torch.cat([model.model.norm(layers[:-1]), layers[-1:]])  # the last state is normed already
        logits = model.lm_head(layers)
        right = logits.gather(-1, ids[0, positions].expand(len(layers), -1)[..., None])
        ranks.append((logits > right).sum(-1) + 1)
    return torch.cat(ranks, 1)
