"""Stage I: GRPO with LoRA on the frozen backbone, rewards over HTTP."""
