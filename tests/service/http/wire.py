"""What tests of the wire format post, and the one shape that errors have."""

ENDPOINTS = ["verify", "judge", "nll", "diversity", "reward"]
GROUP = {"id": "g1", "problem": "p", "reference": "r", "answer": "42", "candidates": ["nll=0.5 e=0", "nll=0.7 e=0.5"]}


def error_of(response):
    body = response.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "retryable", "detail"}
    assert "Traceback" not in response.text
    return body["error"]
