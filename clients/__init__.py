"""Callers of the reward service: `from rewright.clients import RewardClient`.

Imports `schema`, `errors` and `backoff` of `rewright.service` only; never torch or fastapi.
"""

from rewright.clients.http_client import AsyncRewardClient, RewardClient

__all__ = ["AsyncRewardClient", "RewardClient"]
