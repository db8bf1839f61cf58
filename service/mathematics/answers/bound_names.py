r"""Names that mean nothing outside: the x of `f(x) = 2x \text{ for all } x`, the k of `x = k\pi, k \in \mathbb{Z}`.

Policy
- "for all x" and `x \in \mathbb{R}` behind an answer are left out; a condition (`for x > 0`) is part of it.
- The argument of a function may have any name, if it has it throughout. So may an integer that both answers bind to
  the integers, or that is one of j, k, l, m, n beside π or degrees, where it is bound or not (`n\pi` is `x = k\pi`).
"""

import re

_NAMES = r"(?P<names>[A-Za-z](?:,[A-Za-z])*)"
_DOMAIN = r"\\in\s?(?:\\mathbb|\\text)?\{?(?P<domain>[ZRQNC])\}?(?P<half>\^?\{?[+*]\}?)?"
_FOR = r"[,;(]*\\text\{[,(]?\s*(?:for|where|with)"
_EVERY = r"(?:all|every|any|each|arbitrary|an?|(?P<some>some))"
_KIND = (
    r"(?P<kind>(?:(?:positive|negative|non-?negative|natural|complex|rational|nonzero) )?"
    r"(?:reals?|integers?|constants?|numbers?|values? of)(?: numbers?| values?| constants?)?)"
)
_TAILS = [
    re.compile(pattern)
    for pattern in (
        rf"[,;(]*(?:\\forall|{_FOR} {_EVERY}(?: {_KIND})?\s*\}}) ?{_NAMES}(?:{_DOMAIN})?\)?$",
        rf"(?:[,;(]+|{_FOR}\s*\}}) ?{_NAMES}{_DOMAIN}\)?$",
        rf"{_FOR} {_KIND}\s*\}} ?{_NAMES}\)?$",
        rf"(?:{_FOR}(?: {_EVERY})?\s*\}}|[,;(]+) ?{_NAMES}(?P<from>\\ge ?[01]|>0)\)?$",
        rf"(?:{_FOR}\s*\}}|[,;(]+) ?{_NAMES}\\text\{{(?:is|are) ?(?:any |an )?(?P<kind>integers?)\s*\)?\}}\)?$",
        rf"{_FOR} (?:{_EVERY} )?(?:(?P<kind>real|integer) )?(?P<names>[a-zA-Z])\)?\}}$",
        rf"{_FOR} (?P<names>[a-zA-Z]) is (?:any|an) (?P<kind>integer)\)?\}}$",
    )
]
_MULTIPLES = re.compile(r"\\\{([^{}|:]{1,80})(?:\\mid|\||:) ?([a-z])\\in\s?(?:\\mathbb|\\text)?\{?Z\}?\\\}")
_INTEGERS = re.compile(r"integers?(?: values?)?")
_EVERYWHERE = re.compile(r"(?:reals?(?: numbers?| values?)?|values? of)?")
_FUNCTION = re.compile(r"([A-Za-z])(?:\(|_\{?)([A-Za-z](?:,[A-Za-z])*)(?:\)|\}?)=")
_SYMBOL = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z]")
_INTEGER_NAMES = frozenset("jklmn")
_PERIODS = ("\\pi", "\\text{degree}")
_LONGEST = 400


def may_bind(gold: str, prediction: str) -> bool:
    """One of two normalised answers may bind a name; cheap."""
    return any("(" in text or "\\pi" in text or "\\in" in text or "\\text{" in text for text in (gold, prediction))


def with_names_of(gold: str, prediction: str) -> tuple[str, str]:
    """Both answers without what binds their names, with the same names where they are bound; as they are otherwise."""
    if max(len(gold), len(prediction)) > _LONGEST:
        return gold, prediction
    (mine, my_integer), (yours, your_integer) = _unbound(gold), _unbound(prediction)
    first, second = _FUNCTION.match(mine), _FUNCTION.match(yours)
    if first and second:
        if first[1] == second[1]:
            yours = _renamed(yours, second[2].split(","), first[2].split(","))
        return mine, yours
    if my_integer and your_integer:
        return mine, _renamed(yours, [your_integer], [my_integer])
    if any(period in mine and period in yours for period in _PERIODS):
        names, their_names = _integers(mine, my_integer), _integers(yours, your_integer)
        if len(names) == len(their_names) == 1:
            return mine, _renamed(yours, list(their_names), list(names))
    elif my_integer or your_integer:
        return gold, prediction  # all odd numbers are not 2k+1 for one k
    return mine, yours


def _unbound(text: str) -> tuple[str, str | None]:
    """The answer without what binds a name, and the name where it is an integer."""
    if multiples := _MULTIPLES.fullmatch(text):
        return multiples[1], multiples[2]
    for pattern in _TAILS:
        match = pattern.search(text)
        if match is None or not match.start():
            continue
        body = text[: match.start()].rstrip(",;(").strip()
        said = match.groupdict()
        kind, domain = said.get("kind") or "", None if said.get("half") else said.get("domain")
        if said.get("from") and not re.match(rf"[A-Za-z]_\{{?{match['names']}", body):
            continue  # `for x > 0` is a condition, but on the index of a sequence
        if (_INTEGERS.fullmatch(kind) or domain == "Z") and len(match["names"]) == 1:
            return body, match["names"]
        if said.get("some") and "constant" not in kind:
            return text, None
        everywhere = _EVERYWHERE.fullmatch(kind) and domain in (None, "R") and not said.get("half")
        if _FUNCTION.match(body) or "constant" in kind or everywhere:
            return body, None
    return text, None


def _integers(text: str, bound: str | None) -> set[str]:
    return {bound} if bound else {name for name in _SYMBOL.findall(text.rpartition("=")[2]) if name in _INTEGER_NAMES}


def _renamed(text: str, names: list[str], new: list[str]) -> str:
    """Each of the names as its new one; the text as it is where a new one already means something else."""
    if names == new or len(names) != len(new):
        return text
    used = set(_SYMBOL.findall(text))
    if any(name in used and name not in names for name in new):
        return text
    table = dict(zip(names, new, strict=True))
    return _SYMBOL.sub(lambda symbol: table.get(symbol[0], symbol[0]), text)
