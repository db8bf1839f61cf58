"""Raise the study's model: a Llama of two million parameters with a tokenizer and a chat template of its own.

    python -m examples.study.pretrain FOLDER [--steps 5000] [--seed 17]

Leaves an ordinary folder, as `save_pretrained` writes it, with the loss by kind in `pretraining.jsonl`. A run that is
killed goes on from `FOLDER.part` with the same command. The loss falls on the answers alone.
"""

import argparse
import itertools
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.study.world import Turn, pretraining

VOCABULARY = 512
WINDOW = 512
STEPS = 5000
BATCH = 32
PIECES = 2
"""A step's answers in so many batches of like length, so that little is padding."""
RATE = 3e-3
WARMUP = 100
SAVE_S = 30
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer_of(turns: Sequence[Turn]) -> PreTrainedTokenizerFast:
    """Byte-level BPE: each digit is a token, a word takes the space behind it along."""
    backend = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"\d| ?[^\d\s]+ ?|\s"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    end, pad = "<|end|>", "<|pad|>"
    marks = [end, pad, "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(mark, normalized=False, special=True) for mark in marks],
        show_progress=False,
    )
    backend.train_from_iterator((text for turn in turns for text in turn[1:]), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, pad_token=pad, chat_template=TEMPLATE)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


class Encoder:
    """Turns → ids and labels, as the chat template renders them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def ids(self, turn: Turn) -> tuple[list[int], int]:
        """All ids, and how many of them are the question's."""
        tokenizer = self._tokenizer
        asked = tokenizer(f"<|user|>{turn.question}<|end|><|assistant|>", add_special_tokens=False)["input_ids"]
        said = tokenizer(f"{turn.answer}<|end|>", add_special_tokens=False)["input_ids"]
        return asked + said, len(asked)

    def batch(self, some: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """ids (n, longest) and labels (n, longest), -100 where nothing is learnt."""
        longest = max(len(ids) for ids, _ in some)
        ids = torch.full((len(some), longest), self._tokenizer.pad_token_id)
        labels = torch.full((len(some), longest), -100)
        for row, (line, asked) in enumerate(some):
            ids[row, : len(line)] = torch.tensor(line)
            labels[row, asked : len(line)] = torch.tensor(line[asked:])
        return ids, labels


def pretrain(folder: Path, *, steps: int, seed: int) -> Path:
    """The folder, trained for so many steps of `BATCH` answers; found finished, it is left as it is."""
    if (folder / "config.json").is_file():
        return folder
    part = folder.with_name(folder.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    tokenizer = tokenizer_of(list(itertools.islice(pretraining(seed), 5000)))
    model, encoder = new_model(tokenizer), Encoder(tokenizer)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / WARMUP, max(0.0, 1 - max(0, step - steps // 2) / (steps - steps // 2)))
    )
    done = _resume(part, model, optimiser, schedule)
    stream = itertools.islice(pretraining(seed), done * BATCH, None)
    saved = time.monotonic()
    with (part / "pretraining.jsonl").open("a", encoding="utf-8") as log:
        for step in range(done, steps):
            losses = _step(model, encoder, optimiser, list(itertools.islice(stream, BATCH)))
            schedule.step()
            if step % 50 == 49:
                print(f"step {step + 1}: {losses}", flush=True)
                log.write(json.dumps({"step": step + 1, **losses}) + "\n")
            if time.monotonic() - saved > SAVE_S:
                saved = time.monotonic()
                _save(part, model, optimiser, schedule, step + 1)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    (part / "state.pt").unlink(missing_ok=True)
    shutil.move(part, folder)
    return folder


def _step(model: Any, encoder: Encoder, optimiser: torch.optim.Optimizer, turns: list[Turn]) -> dict[str, float]:
    """One update; the mean loss by kind, nats a token."""
    encoded = sorted(((*encoder.ids(turn), turn.kind) for turn in turns), key=lambda e: len(e[0]))
    total = sum(len(ids) - asked for ids, asked, _ in encoded)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for piece in _pieces(encoded):
        ids, labels = encoder.batch([(line, asked) for line, asked, _ in piece])
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        learnt = targets != -100
        logits = model.lm_head(hidden[learnt])
        loss = torch.nn.functional.cross_entropy(logits, targets[learnt], reduction="none")
        (loss.sum() / total).backward()
        rows = learnt.nonzero()[:, 0].tolist()
        for row, value in zip(rows, loss.detach().tolist(), strict=True):
            sums[piece[row][2]][0] += value
            sums[piece[row][2]][1] += 1
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return {kind: round(a / b, 4) for kind, (a, b) in sorted(sums.items())}


def _pieces(encoded: list[Any]) -> Iterator[list[Any]]:
    size = -(-len(encoded) // PIECES)
    for start in range(0, len(encoded), size):
        yield encoded[start : start + size]


def _save(part: Path, model: Any, optimiser: Any, schedule: Any, step: int) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, part / "state.new")
    (part / "state.new").replace(part / "state.pt")


def _resume(part: Path, model: Any, optimiser: Any, schedule: Any) -> int:
    if not (part / "state.pt").is_file():
        return 0
    state = torch.load(part / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    print(pretrain(options.folder, steps=options.steps, seed=options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
