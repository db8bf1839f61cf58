"""The real app as a killable process for builds: verdicts hang on the text, and a share of the requests fails.

python tests/trainer/build/build_service.py PORT FOLDER SHARE

Failing requests get, one after another, a 503, an answer that ends in its middle, a 500, failed items, and a 429.
"""

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
STATUSES = {503: "scorer_unavailable", 500: "internal", 429: "overloaded"}


class FailsSometimes:
    """In front of the app. Which requests fail is drawn with a seed, /v1/info and health aside."""

    def __init__(self, app: Any, share: float) -> None:
        self._app = app
        self._share = share
        self._draw = random.Random(5)
        self._kinds = itertools.cycle([503, "cut", 500, "items", 429])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or self._draw.random() >= self._share:
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        kind = next(self._kinds)
        if kind == "cut":
            headers = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionAbortedError("as the test says")
        if kind == "items":
            failed = {"status": "failed", "error": {"code": "internal", "message": "as told", "retryable": True}}
            if scope["path"] == "/v1/reward":
                failed |= {"signals": {"n_tokens": 1, "length_ratio": None, "repeated": 0.0, "copied": None}}
            groups = [self._group(scope["path"], group, failed) for group in json.loads(body)["groups"]]
            content, status = {"groups": groups, "served_by": {"version": "0", "scorers": {}}}, 200
        else:
            error = {"code": STATUSES[kind], "message": "as told", "retryable": kind != 500, "detail": None}
            content, status = {"error": error}, kind
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    @staticmethod
    def _group(path: str, group: Any, failed: Any) -> Any:
        answer = {"id": group["id"], "candidates": [failed] * len(group["candidates"])}
        if path == "/v1/reward":
            return answer | {"feasible": 0, "failed": 1, "nll_mean": None, "nll_std": None, "diversity": None}
        return answer | ({"diversity": None} if path == "/v1/diversity" else {})


def main(port: int, folder: Path, share: float) -> None:
    import uvicorn

    from rewright.service.http.app import create_app
    from rewright.service.settings import Settings
    from tests.trainer.build.build_parts import TellingVerifier, telling_scorers
    from tests.trainer.service_process import Holdable

    class HoldableByText(Holdable, TellingVerifier):
        pass

    app = FailsSometimes(create_app(Settings(), telling_scorers(HoldableByText(folder))), share)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
