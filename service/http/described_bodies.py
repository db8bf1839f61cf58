"""How OpenAPI shows bodies that routes parse from raw bytes themselves: their schema, and one request that works."""

from typing import Any

_SAMPLE = {"problem": "What is 6 times 7?", "reference": "6 * 7 = 42", "answer": "42"}
_REWRITES = ["7 * 6 = 42", "6 + 7 = 13"]
EXAMPLES: dict[str, dict[str, Any]] = {
    "ScoreRequest": {"groups": [{"id": "first", **_SAMPLE, "candidates": _REWRITES}]},
    "Member": {"group": "step 7, problem 3", "size": 1, "member": "0", **_SAMPLE, "candidate": _REWRITES[0]},
    "FlatRequest": {
        "prompts": ["rewrite", "rewrite"],
        "completions": _REWRITES,
        "context": {name: [value] * 2 for name, value in _SAMPLE.items()},
    },
}
"""By request model; each gets a 200 from every endpoint that takes it."""


def described_body(model: str) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is this model. The app puts the models among the components."""
    content = {"schema": {"$ref": reference_to(model)}, "example": EXAMPLES[model]}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def reference_to(model: str) -> str:
    """Where the description holds the model's schema."""
    return f"#/components/schemas/{model}"
