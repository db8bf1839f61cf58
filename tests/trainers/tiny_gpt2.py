"""A random GPT-2 of a few thousand weights over bytes, and texts as what it says."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def tiny_gpt2(tokenizer):
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=16, n_layer=1, n_head=2))


def said(texts, tokenizer):
    """The ids of each text with its end, and all of them padded on the right."""
    rows = [torch.tensor([*tokenizer.encode(text), tokenizer.eos_token_id]) for text in texts]
    return rows, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
