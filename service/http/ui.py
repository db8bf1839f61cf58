"""The page for looking at groups, with a form that posts to this very service.

Promises: the page itself holds nothing of anybody's and needs no key; what it posts does, which its form asks for.
"""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from rewright.clients.view.page import html

EXAMPLES: dict[str, Any] = {
    "one group": {
        "groups": [
            {
                "id": "marbles",
                "problem": "A bag holds 7 marbles. How many marbles are in 6 bags?",
                "reference": "6 * 7 = 42. The answer is 42.",
                "answer": "42",
                "candidates": [
                    "There are 6 bags with 7 marbles each, so there are 6 * 7 = 42 marbles. The answer is 42.",
                    "Six bags of seven marbles: 7 + 7 + 7 + 7 + 7 + 7 = 42. The answer is 42.",
                    "6 + 7 = 13, so there are 13 marbles.",
                ],
            }
        ]
    },
    "no judge": {
        "rule": {"reasoning": "checks", "variant": "full", "min_std": 0.03},
        "groups": [
            {
                "id": "square",
                "problem": "What is the area of a square with side 5?",
                "reference": "The area is 5^2 = 25.",
                "candidates": [
                    "The area of a square is its side squared, $5^2 = 25$.",
                    "It is 25.",
                    "$5 \\cdot 4 = 20$.",
                ],
            }
        ],
    },
}


def ui_routes() -> APIRouter:
    """GET /ui."""
    router = APIRouter()
    page = html({"title": "this service", "rule": None, "groups": [], "examples": EXAMPLES})

    @router.get("/ui", include_in_schema=False)
    async def ui() -> HTMLResponse:
        return HTMLResponse(page, headers={"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"})

    return router
