"""A second, independent implementation of the reward of method.md, written straight from the equations.

Loops and `statistics`, no import from `service`: what it shares with the code under test is the paper alone.
Takes plain dicts a candidate: v_ans, v_rea (0, 1 or None), nll (float or None), vector (list of floats), and `lost`:
whether a score that the total needs is missing, `unfit`: kept out by its own doing after passing verify and judge.
"""

import math
import statistics
from itertools import combinations

EPS = 1e-6


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)))


def set_diversity(vectors):
    if len(vectors) < 2:
        return 0.0
    return statistics.fmean((1 - cosine(a, b)) / 2 for a, b in combinations(vectors, 2))


def compared(candidate, dist):
    """What eq. 7 standardises: nats per token, nats, or nats per token of the worst fifth."""
    return {
        "mean": candidate["nll"],
        "sum": candidate["nll"] * candidate.get("n_tokens", 1),
        "tail": candidate.get("tail"),
    }[dist]


def totals(candidates, variant, lambda_dist, lambda_div, min_std, *, dist="mean"):
    """One total per candidate, None where it has no reward."""
    passed = [c["v_ans"] == 1 and c["v_rea"] == 1 and not c["unfit"] for c in candidates]
    if variant == "soft":
        inside = [not c["lost"] and not c["unfit"] for c in candidates]
    else:
        inside = [ok and not c["lost"] for ok, c in zip(passed, candidates, strict=True)]
    members = [c for c, yes in zip(candidates, inside, strict=True) if yes]
    nlls = [compared(c, dist) for c in members]
    out = []
    for candidate, ok, yes in zip(candidates, passed, inside, strict=True):
        if candidate["lost"]:
            out.append(None)
            continue
        r_dist = r_div = 0.0
        if yes:
            mu, sigma = statistics.fmean(nlls), statistics.pstdev(nlls)
            r_dist = 1 / (1 + math.exp((compared(candidate, dist) - mu) / (max(sigma, min_std) + EPS)))
            if len(members) >= 2:
                rest = [c["vector"] for c in members if c is not candidate]
                r_div = max(0.0, set_diversity([c["vector"] for c in members]) - set_diversity(rest))
        auxiliary = {
            "full": lambda_dist * r_dist + lambda_div * r_div,
            "no_dist": lambda_div * r_div,
            "no_div": lambda_dist * r_dist,
            "task_only": 0.0,
            "soft": lambda_dist * r_dist + lambda_div * r_div,
        }[variant]
        gate = 1 if ok else 0
        out.append(gate + auxiliary if variant == "soft" else gate + gate * auxiliary)
    return out
