"""What a training step computes: the weighted loss of a batch, and the accuracy by task that the log shows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import MistralForCausalLM

from .batches import TASK_NAMES, Batch


class Trainee(nn.Module):
    """A MistralForCausalLM with the loss of a `Batch`; the model itself is transformers' class, unchanged."""

    def __init__(self, model: MistralForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted mean loss in nats, and loss (predicted,) and correctness (predicted,) of each position."""
        table = self.model.model.embed_tokens.weight
        if batch.rows is not None:
            table = F.embedding(batch.rows, table, sparse=True)
        hidden = self.model.model(inputs_embeds=F.embedding(batch.ids, table), use_cache=False).last_hidden_state
        logits = (hidden.flatten(0, 1)[batch.positions] @ table.t()).float()
        if batch.correction is not None:
            logits = logits + batch.correction
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        loss = (losses * batch.weights).sum() / batch.weights.sum()
        return loss, losses.detach(), logits.detach().argmax(-1) == batch.targets


class Tally:
    """Running accuracy of each task: tokens that carry the value (weight 3), or all that an earlier text decides."""

    def __init__(self) -> None:
        self.right = torch.zeros(len(TASK_NAMES))
        self.count = torch.zeros(len(TASK_NAMES))
        self.loss = 0.0
        self.answers = 0.0
        self.steps = 0

    def add(self, batch: Batch, loss: float, losses: Tensor, correct: Tensor) -> None:
        telling = (batch.weights > 2.5) | ((batch.weights > 0.65) & (batch.weights < 0.75))
        tasks = batch.tasks[telling]
        self.right += torch.bincount(tasks, correct[telling].float(), minlength=len(TASK_NAMES)).cpu()
        self.count += torch.bincount(tasks, minlength=len(TASK_NAMES)).cpu()
        self.loss += loss
        self.answers += float(losses[batch.weights > 0.9].mean())
        self.steps += 1

    def line(self) -> dict[str, object]:
        accuracy = {
            name: round(float(self.right[i] / self.count[i]), 4) for i, name in enumerate(TASK_NAMES) if self.count[i]
        }
        mean = max(1, self.steps)
        return {"loss": self.loss / mean, "answer_loss": round(self.answers / mean, 4), "accuracy": accuracy}
