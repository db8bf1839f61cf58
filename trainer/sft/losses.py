"""What SFT minimises: the plain loss, DFT, and the importance-weighted loss of off-policy SFT.

    nll          −1/N Σ_t log π(y_t)                              the paper's (E.1)
    dft          −1/N Σ_t sg[π(y_t)] log π(y_t)                   arXiv 2508.05629; TRL's own
    importance   −1/N Σ_t clip(sg[π(y_t)/π_b(y_t)], low, high) log π(y_t)

N counts the trained tokens of one update, sg stops the gradient, π is the model in training, given the problem alone.

`importance` is arXiv 2509.15157 (Mind the Gap): SFT learns off-policy from the policy π_b that wrote the data, and the
ratio corrects for it. Nobody knows π_b of a demonstration; like DFT, and like that paper's released trainer, we take 1,
so that a fallback weighs as DFT has it. Rows that the model wrote have π_b = π0, the weights that training starts from:
their ratio begins at 1, and rewriting has closed the gap. That trainer clips no ratio; the bounds are those of
truncated importance sampling (the usual threshold is 2), and ours. So is one ratio a token: that of a whole text is a
product of hundreds.

Not covered: the rows (`rewright.trainer.sft.data`), and the rewriting prompt in π_b, which SFT never sees.
"""

from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

OWN = "own"
"""Column of the rows: did the model itself write the response?"""
BEHAVIOUR = "behaviour"
"""Column of the rows once they are weighed: log π_b of each id, 0 where it is 1 or not trained."""


def importance_weights(logprobs: torch.Tensor, behaviour: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    """clip(π/π_b, low, high) of each token, without a gradient. Both: log-probabilities in nats, of one shape."""
    low, high = bounds
    return (logprobs.detach() - behaviour).exp().clamp(low, high)


class ImportanceTrainer(SFTTrainer):
    """`SFTTrainer` with the loss `importance`. bounds: of the ratio; other options: of `SFTTrainer`.

    The rows must have the column `OWN`. π_b is computed once, before the first update, by every process for itself.
    Not covered: the auxiliary loss of routers; TRL's own entropy and accuracy in the log.
    """

    def __init__(self, *, bounds: tuple[float, float], **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        inner: Any = self.data_collator
        self.data_collator = _WithBehaviour(pad_token_id=inner.pad_token_id)
        self.train_dataset = self._with_behaviour(self.train_dataset, inner)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As TRL's: the sum over the batch by all trained tokens of the update, of every process where it counts so."""
        behaviour_BT = inputs.pop(BEHAVIOUR)[:, 1:]
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        logprobs_BT = outputs.log_probs  # of the next token, 0 where it is not trained
        weights_BT = importance_weights(logprobs_BT, behaviour_BT, self._bounds)
        tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = -(weights_BT * logprobs_BT).sum() / torch.as_tensor(tokens).clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # which DDP divides by again
        return (loss, outputs) if return_outputs else loss

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[no-untyped-call]
        columns: Any = self._signature_columns
        self._signature_columns: Any = [*dict.fromkeys([*columns, BEHAVIOUR])]

    @torch.no_grad()
    def _with_behaviour(self, rows: Any, collate: Any) -> Any:
        """The rows with log π0 of every trained id of those that the model wrote: it is still what it was loaded as."""
        model: Any = self.model
        trains, stands = model.training, model.device
        # Where weights will be cut over processes, the model still waits in main memory.
        model.to(self.accelerator.device)
        model.eval()
        ids, labels = rows["input_ids"], rows["labels"]
        own = [place for place, is_own in enumerate(rows[OWN]) if is_own]
        # Like lengths together: less padding.
        own.sort(key=lambda place: len(ids[place]))
        found = [[0.0] * len(each) for each in ids]
        size = self.args.per_device_train_batch_size
        for start in range(0, len(own), size):
            places = own[start : start + size]
            batch = self._prepare_inputs(collate([{"input_ids": ids[p], "labels": labels[p]} for p in places]))
            with self.compute_loss_context_manager():
                logprobs_BT = model(**batch, use_cache=False, fused_lm_head=True).log_probs
            for place, row in zip(places, logprobs_BT.float().tolist(), strict=True):
                found[place] = [0.0, *row[: len(ids[place]) - 1]]
        model.train(trains)
        model.to(stands)
        return rows.add_column(BEHAVIOUR, found)


class _WithBehaviour(DataCollatorForLanguageModeling):
    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        padded = torch.zeros(batch["input_ids"].shape)
        for row, example in zip(padded, examples, strict=True):
            row[: len(example[BEHAVIOUR])] = torch.tensor(example[BEHAVIOUR])
        return batch | {BEHAVIOUR: padded}
