"""TRL's GRPO trainer with each prompt computed once per micro-batch instead of once per response.

Promises: whole groups stay together where micro-batches hold them; on its first batch the shared way is measured
against TRL's own, on log-probabilities and on the gradients of the trained weights, and where they differ, on whatever
process, all processes go on in TRL's way and one line says so, with the figures. Losses, importance sampling, reference
(no pass at all for β = 0; the policy with its adapter off for LoRA) and everything else are TRL's.

Not covered, hence TRL's way: images, auxiliary losses of mixtures of experts.
"""

import logging
from typing import Any

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from rewright.service.models.forward.choose import CANNOT
from rewright.trainer.grpo.agreement import Agreement, measured
from rewright.trainer.grpo.clipped_share import ClippedShare
from rewright.trainer.grpo.packed_rollouts import PackedRollouts
from rewright.trainer.grpo.rendered_prompts import RenderedPrompts
from rewright.trainer.grpo.shared_prompt import PerToken, SharedPrompt
from rewright.trainer.grpo.whole_groups import read_rows, with_whole_groups
from rewright.trainer.models.policy import without_adapter

log = logging.getLogger(__name__)


class SharedPromptTrainer(GRPOTrainer):
    """GRPOTrainer in all but speed. Overrides what TRL calls for log-probabilities, and the order of a step's rows."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._sharing: bool | None = None
        """None until measured."""
        models = [self.accelerator.unwrap_model(each) for each in (self.model, self.ref_model) if each is not None]
        try:
            self._prompts = SharedPrompt([without_adapter(model) for model in models])
        except CANNOT as error:
            self._go_on_unshared(f"this model cannot be packed: {error}")

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        fresh = self._buffered_inputs
        if fresh is None or fresh is before or "num_images" in fresh[0]:
            return inputs
        self._buffered_inputs = with_whole_groups(fresh)
        return self._buffered_inputs[self._step % len(fresh)]

    def _get_per_token_logps_and_entropies(  # noqa: PLR0917 - TRL's own
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if compute_aux_loss or any(value is not None for value in images.values()):
            self._sharing = False
        if self._sharing is None and torch.is_grad_enabled():
            self._sharing = self._measure(model, input_ids, attention_mask, logits_to_keep)
        if self._sharing:
            most = (batch_size or len(input_ids)) * input_ids.shape[1]
            found = self._shared(model, input_ids, attention_mask, logits_to_keep, most=most)
            if found is not None:
                return found.logps, found.entropies if compute_entropy else None, None
        return super()._get_per_token_logps_and_entropies(  # type: ignore[no-any-return]
            model,
            input_ids,
            attention_mask,
            logits_to_keep,
            batch_size=batch_size,
            compute_entropy=compute_entropy,
            compute_aux_loss=compute_aux_loss,
            **images,
        )

    def _shared(
        self, model: Any, ids_BL: torch.Tensor, mask_BL: torch.Tensor, responses: int, *, most: int
    ) -> PerToken | None:
        """None where no row has a response."""
        rows = read_rows(ids_BL, mask_BL, responses)
        if not rows.trees:
            return None
        with self.accelerator.autocast():
            return self._prompts.per_token(model, rows, (len(ids_BL), responses), ids_BL.device, most=most)

    def _measure(self, model: Any, ids_BL: torch.Tensor, mask_BL: torch.Tensor, responses: int) -> bool:
        cut = self.is_fsdp_enabled or self.is_deepspeed_enabled
        # Without DDP, which would wait for the gradients of all processes.
        policy = model if cut else self.accelerator.unwrap_model(model)

        def ordinary() -> torch.Tensor:
            logps: torch.Tensor = GRPOTrainer._get_per_token_logps_and_entropies(
                self, policy, ids_BL, mask_BL, responses
            )[0]
            return logps * mask_BL[:, -responses:]

        def shared() -> torch.Tensor:
            found = self._shared(policy, ids_BL, mask_BL, responses, most=ids_BL.numel())
            return ordinary() if found is None else found.logps

        trouble = None
        try:
            with self.accelerator.autocast():
                mine = measured(policy, ordinary, shared, gradients=not cut)
        except CANNOT as error:
            trouble = f"this model cannot be packed: {error}"
            mine = Agreement(float("inf"), float("inf"), exact=True)
        agreement = mine.worst_of_all(self.accelerator.gather, ids_BL.device)
        if not agreement.holds:
            self._go_on_unshared(trouble or str(agreement))
        elif self.accelerator.is_main_process:
            log.info("prompts are computed once per group; against TRL's own way %s", agreement)
        return agreement.holds

    def _go_on_unshared(self, reason: str) -> None:
        self._sharing = False
        if self.accelerator.is_main_process:
            log.warning("prompts are computed for every response anew, in TRL's own, slower way: %s", reason)


class RewriterTrainer(RenderedPrompts, ClippedShare, PackedRollouts, SharedPromptTrainer):
    """What Stage I trains with: prompts once per group, rendered and ended as the service scores them."""
