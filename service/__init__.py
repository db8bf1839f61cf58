"""The reward service: gated rewards of arXiv 2602.11220 over HTTP.

Importing this package, or `rewright.service.schema` and `rewright.service.errors`, loads neither torch nor fastapi.
"""
