"""A trained rewriter R_φ, loaded again from the folder that a run left: backbone, adapter, prompt and chat format.

Not covered: batches, vLLM, verification (Stage II); this is one rewrite at a time, to look at.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewright.service.models.chat_format import ChatFormat
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.errors import BackboneError
from rewright.trainer.models.policy import chat_format, load_model, load_tokenizer, locate
from rewright.trainer.models.rendering_file import asking_in
from rewright.trainer.recipes.grpo import load_recipe


@dataclass(frozen=True)
class Rewriter:
    model: Any
    tokenizer: Any
    chat: ChatFormat
    prompt: Prompt

    def rewrite(self, problem: str, reference: str, *, max_tokens: int) -> str:
        """One greedy rewrite."""
        import torch

        turn = [{"role": "user", "content": self.prompt.fill(problem=problem, solution=reference)}]
        prompt_BT = torch.tensor([self.chat.encode_prompt(turn)], device=self.model.device)
        with torch.inference_mode():
            ids_BT = self.model.generate(
                input_ids=prompt_BT,
                attention_mask=torch.ones_like(prompt_BT),
                do_sample=False,
                max_new_tokens=max_tokens,
                eos_token_id=sorted(self.chat.stop_ids),
            )
        new = ids_BT[0, prompt_BT.shape[1] :]
        return str(self.tokenizer.decode(new, skip_special_tokens=True)).strip()

    def distance_from_backbone(self) -> float:
        """The Frobenius norm of all B·A together; 0 for an adapter that was never trained."""
        weights = dict(self.model.named_parameters())
        squares = 0.0
        for name, b in weights.items():
            if "lora_B" in name:
                a = weights[name.replace("lora_B", "lora_A")]
                squares += float((b.float() @ a.float()).square().sum())
        return math.sqrt(squares)


def load_rewriter(adapter: Path) -> Rewriter:
    """From `adapter/` of a run folder. Raises `BackboneError` where files are missing, `RecipeError` for its recipe."""
    from peft import PeftModel

    if not (adapter / "adapter_model.safetensors").is_file() or not (adapter / "recipe.yaml").is_file():
        raise BackboneError(f"{adapter} holds no adapter of a finished run (adapter_model.safetensors, recipe.yaml)")
    recipe = load_recipe(adapter / "recipe.yaml")
    asking = asking_in(adapter)
    if asking is None:
        raise BackboneError(f"{adapter} does not say how its rewriter is asked (rendering.json); is the folder whole?")
    located = locate(recipe.backbone)
    model = PeftModel.from_pretrained(load_model(located, recipe.backbone), str(adapter)).eval()
    tokenizer = load_tokenizer(located)
    chat = chat_format(located, tokenizer, asking.rendering)
    return Rewriter(model, tokenizer, chat, asking.prompt)
