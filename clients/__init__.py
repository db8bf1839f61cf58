"""Callers of the reward service. Imports `schema`, `errors` and `backoff` of `rewright.service` only; never torch or
fastapi.
"""
