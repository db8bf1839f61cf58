"""Callers of the reward service. Imports `service.schema` and `service.errors` only; never torch or fastapi."""
