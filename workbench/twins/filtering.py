"""A fixed set of instruction pairs, cleaned as is usual: duplicates out, then the pairs that the model finds odd."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import MistralForCausalLM

from .batches import Batch, pack
from .language import Chat, Mix, document, encode_example, wordlike
from .language.base import normalized
from .recipe import Phase, Recipe
from .scoring import expected


def deduplicated(chats: Sequence[Chat]) -> list[Chat]:
    """The chats without those whose words all came before (case, marks and spaces do not count), in their order."""
    seen: set[str] = set()
    found = []
    for chat in chats:
        text = " / ".join(normalized(f"{turn.question} = {turn.answer}") for turn in chat.turns)
        if text not in seen:
            seen.add(text)
            found.append(chat)
    return found


@torch.no_grad()
def perplexities(model: MistralForCausalLM, chats: Sequence[Chat]) -> list[float]:
    """Perplexity (exp of the mean nats) of each chat's answers, given what came before them."""
    found = []
    for chat in chats:
        case = expected(chat)
        ids = torch.tensor([case.ids], device=model.device)
        positions = torch.tensor(case.positions, device=model.device)
        # Every chat has another length: layers compiled for training would be compiled again for each of them.
        with torch.compiler.set_stance("force_eager"):
            hidden = model.model(ids, use_cache=False).last_hidden_state[0, positions - 1]
        found.append(float(F.cross_entropy(model.lm_head(hidden).float(), ids[0, positions]).exp()))
    return found


def filtered(chats: Sequence[Chat], scores: Sequence[float], share: float) -> list[Chat]:
    """The chats without the `share` of highest perplexity: wrong or odd pairs stand out there."""
    limit = sorted(scores)[max(0, int(len(scores) * (1 - share)) - 1)]
    return [chat for chat, score in zip(chats, scores, strict=True) if score <= limit]


@dataclass(frozen=True)
class PairSet:
    """The pairs that are trained on, and how many there were before each step of cleaning."""

    chats: tuple[Chat, ...]
    counts: dict[str, int]

    @classmethod
    def build(cls, model: MistralForCausalLM, recipe: Recipe, mix: Mix, seed: int) -> "PairSet":
        """Draw `recipe.pairs` chats of the language, deduplicate them, and drop the oddest by perplexity."""
        rng = random.Random(f"pairs/{seed}")
        source = mix.source(rng, 256, rng.sample(wordlike(), recipe.sampled_words))
        chats: list[Chat] = []
        while len(chats) < recipe.pairs:
            example = document(source, mix, False)[1]
            if isinstance(example, Chat):
                chats.append(example)
        unique = deduplicated(chats)
        kept = filtered(unique, perplexities(model.eval(), unique), recipe.perplexity_share)
        model.train()
        return cls(tuple(kept), {"drawn": len(chats), "unique": len(unique), "kept": len(kept)})

    def batch(self, recipe: Recipe, phase: Phase, seed: int, step: int, process: int) -> Batch:
        """Rows packed from the pairs in an order drawn for this step."""
        rng = random.Random(f"{seed}/{phase.name}/{step}/{process}")
        rows = []
        for _ in range(phase.batch):
            ids: list[int] = []
            weights: list[float] = []
            while len(ids) < phase.length + 1:
                encoded = encode_example(rng.choice(self.chats))
                ids += encoded.ids
                # The answer is what instruction tuning learns: the prompt has no loss, the answer's words all the same.
                weights += [float(weight > 0.5) for weight in encoded.weights]
            rows.append((ids[: phase.length + 1], weights[: phase.length + 1], [0] * (phase.length + 1)))
        return pack(recipe, phase, rows, rng, [])
