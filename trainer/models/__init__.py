"""Policies, adapters and targets of training."""
