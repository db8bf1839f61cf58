"""Multiple choice: gold answers that are one capital letter, and the letter that a candidate chose.

Policy (policy:mcq-letter): a gold answer is a choice where it is a letter alone, in whatever brackets, or a letter
before its text without brackets (`C Cecile`); `(A) Cecile` is not, for there the text may be what counts. A chosen
letter must be written as a capital. The stated letter counts; where several stand, the first of the statement; in prose
without a statement, the last that is not ruled out ("it's not A").
"""

import re

from rewright.service.mathematics.answers.extraction import OPTION, Found

_WINDOW = 2_000
_GOLD = re.compile(
    r"[\s$]*+(?:(?i:option|choice)[\s_])?"
    r"(?:\\(?:text\w*|mathrm|mathbf)\{)?\s*\(?([A-Z])\)?[.:]?\s*+\}?[\s$.]*|([A-J])[.:)]? [A-Z][a-z]+(?:\s.*)?",
    re.DOTALL,
)
_QUOTED = re.compile(r"answer is\s*\(([A-Z])\)")
_CLEAN = re.compile(r"\\(?:text\w*|mathrm|mathbf|boxed|fbox)(?=\{)|[${}*]")
_NAMED = r"(?:(?i:choice|option)[_ ]?)?"
_WHOLE = re.compile(rf"\s*{_NAMED}[(\[]?([A-Z])[)\]]?(?:\s*[.:,。、]|\s*$|\)?\s*(?=\\)|\)[\s\d]|(?=[^\x00-\x7f]))")
_STATED = re.compile(
    r"(?i:\b(?:answer|choice|option|solution)s?\b(?:\s+is)?\s*:?|\bit'?s\b|\bchoose\b|答案(?:是|为)?\s*[:：]?|[故应]?选\s*[:：]?)[^.\n]{0,30}?"
    rf"(?<![\w'/]){_NAMED}[(\[]?([A-Z])[)\]]?(?![\w'/])|(?i:\b(?:choice|option))_([A-Z])(?![\w'/])"
)
_STANDING = re.compile(r"(?<![\w'/])\(([A-Z])\)(?![\w'/])|(?<![\w'/])([B-HJ-Z])(?![\w'/])")
_ANOTHER_BEFORE = re.compile(
    r"(?<![\w'])[(\[]?[A-Z][)\]]?\s*(?:,\s*)?(?:or|and|/|,|&|\\lor)\s*[(\[]?$|[(\[][A-Z][)\]]\s*[(\[]$"
)
_ANOTHER_AFTER = re.compile(r"[)\]]?\s*(?:,\s*)?(?:or|and|/|,|&|\\lor)\s*[(\[]?[A-Z](?![\w'])|[)\]]\s*[(\[][A-Z][)\]]")
_NONE_OF_THEM = re.compile(r"(?i)none of the (?:above|choices|options)")
_RULED_OUT = re.compile(
    r"(?:\bnot|n't be|n't|不是|\bnor|\bneither|\b(?:eliminate|exclude|reject|discard|rule out)"
    r"|\b(?:any(?:thing)?|all|every\w*)(?:\s+(?:option|choice|answer)s?)?\s+(?:but|except)|\b(?:except|other than))"
    r"\s*(?:option\s*)?[(\[]?$",
    re.IGNORECASE,
)
_RULED_OUT_AFTER = re.compile(
    r"[)\]]?\s*(?:(?:is|was|would be|are)\s*(?:n't|not\b|wrong|incorrect|false|impossible|out\b)"
    r"|fails|cannot|can't|doesn't)",
    re.IGNORECASE,
)
_SECOND_THOUGHT = re.compile(r"(?i)\b(?:wait|scratch that|on second thought|correction|no,)\b")
_FORMULA = re.compile(r"[=+^\\<>|°]|-\s*[A-Z]\b|\d\s*[A-Z]\b|\b[A-Z]_")


def gold_letter(answer: str) -> str | None:
    """The letter of a gold answer that is a choice; None for every other answer."""
    quoted = _QUOTED.search(answer[:500].replace("\n", " "))
    if quoted:
        return quoted[1]
    match = _GOLD.fullmatch(answer[:500])
    return (match[1] or match[2]) if match else None


def option_letter(text: str) -> str | None:
    r"""The letter of an option that stands with its value (`\textbf{(B)}\ 12`, `C. 1-i`); None for everything else."""
    option = OPTION.fullmatch(text[:500])
    return option[1] or option[2] if option is not None else None


def chosen_letter(found: Found | None, whole: str) -> str | None:
    """The letter that a candidate chose: that of its stated answer, else of its `whole` text."""
    stated = _CLEAN.sub("", (found.sentence or found.text)[:500]) if found else ""
    if match := _WHOLE.match(stated):
        return None if _is_hedged(stated, match.start(1)) else match[1]
    text = _CLEAN.sub("", whole[-_WINDOW:])
    if (match := _WHOLE.match(text)) and len(match[0].strip()) > 1 and not _SECOND_THOUGHT.search(text[:200]):
        return match[1]
    # A letter of a formula, such as the constant of x + C, is no choice.
    if found is not None and (found.stated or found.text.strip() == whole.strip()) and _FORMULA.search(stated):
        return None
    if found is not None and found.stated:
        return None if re.search(r"(?i)\bnone\b", stated) else _standing(stated, first=True)
    if _NONE_OF_THEM.search(text[-200:]):
        return None
    return _standing(text, first=False)


def _standing(text: str, *, first: bool) -> str | None:
    """The first or last letter that the text chooses, else that just stands there. None where that letter is one of
    several offered; what the text rules out does not count."""
    for pattern in (_STATED, _STANDING):
        places = [match.start(match.lastindex or 0) for match in pattern.finditer(text)]
        places = [
            place
            for place in places
            if not _RULED_OUT.search(text[max(0, place - 20) : place])
            and not _RULED_OUT_AFTER.match(text[place + 1 : place + 30])
        ]
        if places:
            place = places[0 if first else -1]
            return None if _is_hedged(text, place) else text[place]
    return None


def _is_hedged(text: str, place: int) -> bool:
    before, after = text[max(0, place - 20) : place], text[place + 1 : place + 20]
    return _ANOTHER_BEFORE.search(before) is not None or _ANOTHER_AFTER.match(after) is not None
