r"""Sentences that state the answer ("the answer is …", "A: 18", "答案是"): where they stand, and what they hold.

Promises: a denied statement ("the answer is not 5") holds nothing, and neither does one that only checks ("we check our
answer: 17 * 44 = 748"). Words that describe a value and give none ("positive", "an integer", "in the box above") are
told from answers by `describes`.
Not covered: statements in languages beyond the few below.
"""

import re
from typing import NamedTuple

_LINE_STATEMENT = re.compile(
    r"\n[ \t]{0,20}(?:####(?=[ \t]*\S)|[*_]{0,3}A[*_]{0,3}[ \t]*:|(?i:solution|correct\s+choice)[ \t]*:(?=[ \t]*\S)"
    r"|(?:Final\s)?Answer\b(?=\s?[$\\]|\s\(?[A-J]\)?[.\s]*(?:\n|\Z))"
    r"|[#*_ ]{0,8}(?:(?:The\s)?(?i:final\s)?Answer|FINAL ANSWER|ANSWER)[*_:. ]{0,8}(?=\n))"
)
_STATEMENT = re.compile(
    r"(?<![A-Za-z])[aA](?:(?i:nswers?)(?:\b|(?=_))(?:[*_]{0,3}\s?[:=]"
    r"|(?:(?!\sand\s|\s(?:is|are|seems)\s+(?:correct|right|valid|reasonable|plausible|consistent)\b)[^.;\n]){0,40}?\s(?i:is|are|(?:would|must|should)\s+be)\b(?!\s+(?:correct|right|valid"
    r"|reasonable)\b))"
    r"|ntwort\s+(?:ist|lautet))"
)
_FOREIGN_STATEMENT = re.compile(
    r"(?i:\bcorrection\s*:|réponse\s+(?:finale\s+)?(?:est|:)|respuesta\s+(?:final\s+)?es|risposta\s+è|resposta\s+é)"
    r"|答案?(?:是|为|：|:|应?选)|[故应]选|选(?=[:：\s$\\(（]{0,4}(?:text\{)?[A-Z])|答え?[はＧ：:]|[Оо]твет\s*[:—-]"
)
_FOREIGN = ("orrection", "éponse", "espuesta", "isposta", "esposta", "答", "选", "твет")
_CHECKS = re.compile(
    r"\b(?:check|verif(?:y|ies|ied)|confirm|test|validate|double-check)\w*\s+(?:that\s+|if\s+|whether\s+)?"
    r"(?:(?:our|the|this|my|your)\s+)?(?:final\s+)?$",
    re.IGNORECASE,
)
_END = re.compile(
    r"\.(?=\s|$)|。|\n\s*\n|\n(?=[A-Z][a-z])|I hope it is correct"
    r"|,\s+(?=(?:not|rather than|instead of|since|because|of which)\b)|\s+(?=(?:and|but)\s+not\s)"
)
_LEAD = re.compile(r"^[\s:：*_]*(?:(?:is|are)\b)?[\s:：*_]*(?:\n|\\n)*(?:(?<=\n)[-*•]\s+)?")
_NEGATED_START = re.compile(r"[\s:*$(\[{\\]*(?:not|never|neither|n't|anything but|unknown)\b", re.IGNORECASE)
_CORRECTED = re.compile(
    r"[^.;,\n]{1,60}[;,]\s+(?:but\s+)?(?:rather\s+)?it(?:'s|\s+is)\s+(?!not\b)"
    r"|\W*not\s+(?!any|every|no)[^.;,\n]{1,40},?\s+but\s+(?:rather\s+)?(?=[-$\d\\(])",
    re.IGNORECASE,
)
_DESCRIPTION = re.compile(
    r"[\s*]*(?:an?\s+(?!(?:total|sum|increase|decrease|profit|loss|distance|ratio|difference|height|length|maximum"
    r"|minimum)\b)[a-z]|(?:always\s+|also\s+|clearly\s+|indeed\s+)?(?:positive|negative|even|odd|correct|unique|boxed|given|shown|stated|found"
    r"|at\s+(?:most|least)\b|(?:less|greater|more|smaller|larger|bigger)\s+than|between|bounded"
    r"|above|below|reasonable|plausible|rational|irrational|real|prime|integral|finite|simplified|verified|confirmed"
    r"|in\b|as\b|the\s+(?:same|boxed|one|value|number)\b|put\b|placed\b|written\b|consistent|exact|complete|final)\b)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*```\w*\s*\n(.{1,200}?)\n\s*```", re.DOTALL)


class Statement(NamedTuple):
    """Where the sentence starts, and where what it holds starts."""

    start: int
    answer: int


def last_statement(text: str) -> Statement | None:
    """The last sentence that states the answer."""
    places = [(match.start() - 1, match.end() - 1) for match in _LINE_STATEMENT.finditer("\n" + text)]
    if "nswer" in text or "NSWER" in text or "ntwort" in text:
        places += [match.span() for match in _STATEMENT.finditer(text)]
    if any(word in text for word in _FOREIGN):
        places += [match.span() for match in _FOREIGN_STATEMENT.finditer(text)]
    places.sort(key=lambda place: place[1])
    for start, answer in reversed(places[-8:]):
        if not _CHECKS.search(text[max(0, start - 40) : start]):
            return Statement(start, answer)
    return None


def held_by(text: str) -> str | None:
    """What a statement holds, of the text from its answer on; None where it denies that, "" where it holds nothing."""
    if fenced := _FENCE.match(text):
        return fenced[1].strip()
    text = _LEAD.sub("", text, count=1)
    if _NEGATED_START.match(text):
        corrected = _CORRECTED.match(text)
        if corrected is None:
            return None
        text = text[corrected.end() :]
    text = text.lstrip()
    end = _END.search(text)
    return (text[: end.start()] if end else text).strip().strip("*").strip()


def describes(held: str) -> bool:
    """The words describe the answer without giving it: "positive", "an integer", "in the box above"."""
    return _DESCRIPTION.match(held) is not None
