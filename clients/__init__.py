"""Callers of the reward service. Imports `rewright.service.schema` and `rewright.service.errors` only; never torch
or fastapi.
"""
