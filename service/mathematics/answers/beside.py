r"""What is offered beside a value, instead of it: "41 or \boxed{14}", "\boxed{14}, otherwise fifteen".

Policy (policy:multi-boxed): a value with another one beside it that a joining word offers in its place is two values,
on whichever side the other stands and however it is written: a number, a formula, a number word, a letter of choices.
- "7 * 2 or \boxed{14}" and "\boxed{35/3}, or about 11.67" say one value twice, which the comparison finds out; so does
  a quantity in another unit of the same measure ("\boxed{90} minutes or 1.5 hours").
- A comma or "and" joins only what ends the sentence with a value and nothing else ("\boxed{14}, 15.").

Every window is bounded, so that the time does not grow with the text. Not covered: a list of alternatives that a whole
sentence stands between.
"""

import re

from rewright.service.mathematics.answers.equality import compare
from rewright.service.mathematics.answers.leaves import ROUNDED, arithmetic_leaf
from rewright.service.mathematics.answers.normalisation import normalise
from rewright.service.mathematics.answers.quantities import FORMULA, Value, content_of, values
from rewright.service.mathematics.answers.units import are_of_one_measure, split_unit
from rewright.service.mathematics.answers.wording import NUMBERS_IN_WORDS

_AFTER = 160
_BEFORE = 120

_JOINER = (
    r"(?:(?<![A-Za-z\\])(?:(?:x|n)?or(?:\s+else)?(?![A-Za-z])|and\s*/\s*or(?![A-Za-z])|resp(?:\.|ectively\b)|vs\.|(?:alternatively|otherwise|else"
    r"|versus|vs|maybe|perhaps|possibly|potentially|conceivably|if\s+not|failing\s+(?:which|that|this))(?![A-Za-z]))"
    r"|(?<=\s)\|{1,2}(?=\s)|/(?!/)|[∨⊻]|\\(?:lor|vee|mid|parallel|oplus)(?![A-Za-z])"
    r"|(?:(?:but|and|though|it|this|that)\s+){0,3}(?:may|might|could|can)\s+(?:just\s+)?(?:also|equally|as\s+well"
    r"|instead)\s+be(?![A-Za-z])|(?:but|though|yet|and)\s+(?:it|this|that)\s+(?:may|might|could|can)\s+be(?![A-Za-z])"
    r"|if\s+(?:that|this|it)\s+(?:is|was)\s+(?:wrong|incorrect|false|not\s+\w+)"
    r"|(?:(?:an|the|my|a)\s*)?(?:other|second(?:-best)?|backup|back-up|fallback|alternative|alternate)\s+(?:possible\s+)?"
    r"(?:possibility|answers?|options?|values?|guess|candidate|choice|result))"
)
_ROUNDLY = r"(?:about|around|approximately|approx\.?|roughly|nearly|≈|\\approx)"
_FILLER = (
    r"(?:[\s,:;$]*(?:maybe|perhaps|possibly|probably|likely|else|even|or|it|is|was|are|could|may|might|would|be|also"
    r"|equally|equivalently|instead|rather|just|simply|the|an?|answers?|values?|results?|that|say|we|I|get|equals?"
    rf"|[A-Za-z]\s*=|=|(?P<roundly>{_ROUNDLY}))(?![A-Za-z]))*"
)
_OPENING = r"(?:[\s$*({\[~,]|\\[(\[,;: ]|\\(?:text|f?box(?:ed)?)\{|:)*"
_CLOSING = r"(?:[\s$*)}\]~.,;:]|\\[)\],;: ]|—|–)*"
_NO_MEASURE = (
    r"(?!(?:of|this|that|these|those|the|an?|as|in(?!\s+(?:total|all)\b)|for|to|is|are|by|per|if|when|where|or|and)\b)"
)
_MEASURED = (
    r"(?:\\(?:text|mbox)\{[^{}]{1,30}\}|°|\\?%"
    rf"|(?<![A-Za-z0-9]){_NO_MEASURE}[A-Za-z]{{1,15}}(?:\s{_NO_MEASURE}[A-Za-z]{{1,15}}){{0,2}}?)?"
)
_BEHIND = re.compile(rf"{_CLOSING}(?P<unit>{_MEASURED}){_CLOSING}\(?{_JOINER}{_FILLER}{_OPENING}", re.IGNORECASE)
_LISTED_BEHIND = re.compile(r"[\s$*)\]]*(?:[,;&]|,?\s*and(?![A-Za-z]))[\s$*({]*", re.IGNORECASE)
_CONDITIONAL = re.compile(r"[\s$*]*[,;(.]\s*(?:(?:but|though|although|and|or)\s+)?[$*({]*", re.IGNORECASE)
_UNDER_A_CONDITION = re.compile(
    r"[\s$*)}\]]*(?:(?:if|when|unless|in\s+case|should)\b"
    r"|(?:is|are|was|seems|may\s+be|might\s+be|could\s+be|would\s+be)\s+(?:\w+\s+){0,2}"
    r"(?:possible|plausible|likely|acceptable|fine|right|correct|too)\b)",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(r"[\s$*)}\]]*(?:[.!]?\s*\Z|[.!](?=\s)|\n)")
_AHEAD = re.compile(rf"(?:{_JOINER}|\b(?P<both>and|&)){_FILLER}{_OPENING}\Z", re.IGNORECASE)
_BETWEEN = re.compile(
    r"\b(?:cho(?:ose|osing|ice)|pick|decide|deciding|torn|toss-up|waver\w*|hesitate|vacillate|undecided|unsure|not\s+sure"
    r"|guess|it\s+is|it's)\b[^.]{0,30}?\bbetween\b|\bboth\b|\b(?:answers?|solutions?|roots?|values?)\s+(?:are|is|were)\b",
    re.IGNORECASE,
)
_UNIT_AHEAD = re.compile(rf"(?P<unit>{_MEASURED})(?:[\s,;:.)—–]|\\[,;: ])*\Z")
_EXPRESSION = re.compile(
    r"(?:\\(?!text|mathrm|mbox|q?quad|lor|vee|mid|approx|box|[()\[\]])[A-Za-z]+|[\d.,^_()+*/×÷·%!=−-]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])"
    r"|\{|\}|[ ])+"
)
_SAYS_SOMETHING = re.compile(r"\d|\\(?:frac|sqrt|pi|infty|emptyset|[lg]n|e)(?![a-z])|\A[A-Za-z]\Z")
_NUMBER_WORD = re.compile(
    r"(?:[a-z]+ty[- ])?(?:zero|one(?=\s*(?:[.,;:)$\n]|$))|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|\w{3,6}teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|a\s+(?:hundred|thousand|dozen)|none)(?![A-Za-z])",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\(?([A-J])\)?(?![A-Za-z'’])")
_ANOTHER_AMOUNT = re.compile(
    r"[\s$)]*(?:more|less|fewer|greater|higher|lower|times|of|dozen|or\s+more)\b|\s*[-–]\s*[A-Za-z]|(?:st|nd|rd|th)\b"
)
_RESTATES = re.compile(r"\b(?:of|times|by|plus|minus|than|per|most|least)\s*[$*(]*$", re.IGNORECASE)
_ROUNDED_BEHIND = re.compile(
    r"[^.\n]{0,40}?\b(?:nearest|rounded|rounding|approximately|decimal places?)\b", re.IGNORECASE
)
_ASSIGNED = re.compile(r"^\s*[A-Za-z](?:_\{?\w{1,5}\}?)?\s*=\s*")
_SYMBOLS = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+")
_LETTER = re.compile(r"[A-Za-z]")
_AND_BEYOND = re.compile(
    rf"(?!{_CLOSING}more\s+or\s+less\b){_CLOSING}{_MEASURED}\s*\(?or\s+(?:more|less|fewer|greater|higher|lower|larger|smaller|above|below)\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"[^\n]{0,40}?\b(?:unless|except\s+(?:if|when)|otherwise|or\s+else|in\s+the\s+other\s+case)\b[^\n.]{0,80}?"
    r"\b(?:is|are|be|get|gives?|equals?)\s+[$\\(]*([-−]?\d[\d.,/]*(?<![.,]))(?![\w^])",
    re.IGNORECASE,
)
_JOINS_AHEAD = re.compile(
    r"or\b|else|otherwise|vs|versus|maybe|perhaps|possibly|potential|conceiv|alternat|resp|if not|failing|\||/|[∨⊻]"
    r"|\\lor|\\vee|\\mid|\\parallel|\\oplus|\band\b|&|\bbe\b",
    re.IGNORECASE,
)
UNKNOWN = "…"
"""Another value is offered and not said: "or more"."""


def offered_beside(text: str, start: int, end: int) -> str | None:
    r"""The other value, as LaTeX, that text[start:end] has beside it as an alternative; None where it stands alone."""
    mine = text[start:end]
    is_choice = _CHOICE.fullmatch(mine.removeprefix("\\boxed{").rstrip("}")) is not None
    other = _behind(text, end, is_choice=is_choice) or _ahead(text, start, end, is_choice=is_choice)
    return None if other is None or (not is_choice and _symbols(other) - _symbols(mine)) else other


def says_the_same(value: str, other: str) -> bool:
    """Two answers are one value; one of them may be the other, rounded."""
    mine, yours = normalise(value), normalise(other)
    return bool(compare(mine, yours, arithmetic_leaf) or arithmetic_leaf(yours.removeprefix(ROUNDED), ROUNDED + mine))


def _symbols(formula: str) -> set[str]:
    """The letters that stand for something: a formula with others than a value has says what that is the value of."""
    return set(_LETTER.findall(_SYMBOLS.sub(" ", formula)))


def _behind(text: str, end: int, *, is_choice: bool) -> str | None:
    window = text[end : end + _AFTER]
    if _AND_BEYOND.match(window):
        return UNKNOWN
    joined = _BEHIND.match(window)
    if joined is not None and not ("|" in joined[0] and _in_a_table(text, end)):
        other, behind = _value_at(window, joined.end(), is_choice=is_choice)
        if other is not None and not _ANOTHER_AMOUNT.match(window, behind):
            return None if _same_measure(joined["unit"], other) else _rounded(other, joined["roundly"])
    if (otherwise := _OTHERWISE.match(window)) is not None:
        return otherwise[1]
    for before, after in ((_LISTED_BEHIND, _SENTENCE_ENDS), (_CONDITIONAL, _UNDER_A_CONDITION)):
        if (told := before.match(window)) is not None:
            other, behind = _value_at(window, told.end(), is_choice=is_choice)
            if other is not None and "=" not in other and after.match(window, behind):
                return other
    return None


def _ahead(text: str, start: int, end: int, *, is_choice: bool) -> str | None:
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z$\\*])|\n", text[max(0, start - _BEFORE) : start])[-1]
    joined = _AHEAD.search(sentence) if _JOINS_AHEAD.search(sentence[-40:]) else None
    if joined is None or joined[0].startswith("/") or (_in_a_table(text, start) and "|" in joined[0]):
        return None
    left, behind = sentence[: joined.start()].rstrip(" ,;:.("), text[end : end + 60]
    if (joined["both"] and not _BETWEEN.search(left)) or _ROUNDED_BEHIND.match(behind):
        return None
    other = _offered_before(left, behind, is_choice=is_choice)
    return None if other is None else _rounded(other, joined["roundly"])


def _offered_before(left: str, behind: str, *, is_choice: bool) -> str | None:
    """The value that `left` ends in, with its unit where that can be converted; None where it is only another way to
    say what stands before `behind`."""
    measured = _UNIT_AHEAD.search(left)
    unit = _plain_unit(measured["unit"]) if measured is not None else ""
    found = _value_before(left, is_choice=is_choice)
    if found is None and measured is not None:
        found = _value_before(left[: measured.start()].rstrip(" ,;:."), is_choice=is_choice)
    if found is None or _RESTATES.search(found[1]):
        return None
    other = _ASSIGNED.sub("", found[0])
    if "=" in other:
        if _LETTER.search(_SYMBOLS.sub(" ", other)):
            return None
        other = other.rpartition("=")[2].strip()
    sign = re.search(r"([$£€])\s?$", found[1])
    if sign is not None and not unit and (sign[1] != "$" or found[1].count("$") % 2):
        unit = {"$": "dollars", "£": "pounds", "€": "euros"}[sign[1]]
    named = split_unit(f"1 \\text{{{unit}}}")[1] if unit else None
    if named is None or not are_of_one_measure(named, named):
        return other
    other = f"{other} \\text{{{unit}}}"
    measure = re.match(r"[\s$)\]}\\]*([A-Za-z]+)", behind)
    return None if measure is not None and _same_measure(measure[1], other) else other


def _rounded(other: str, roundly: str | None) -> str:
    """A decimal beside a value may be its rounding."""
    return rf"\approx {other}" if roundly or re.fullmatch(r"-?\d+\.\d+\\?%|-?\d+\.\d{2,}", other) else other


def _same_measure(unit: str, other: str) -> bool:
    """The other value has another unit of the same measure: minutes and hours."""
    mine = split_unit(f"1 \\text{{{_plain_unit(unit)}}}")[1] if unit.strip() else None
    yours = split_unit(other)[1]
    return mine is not None and yours is not None and mine != yours and are_of_one_measure(mine, yours)


def _plain_unit(unit: str) -> str:
    return unit.removeprefix("\\text{").rstrip("}").strip()


def _value_at(window: str, place: int, *, is_choice: bool) -> tuple[str | None, int]:
    """The value that starts at a place, and where it ends."""
    if is_choice:
        letter = _CHOICE.match(window, place)
        return (letter[1], letter.end()) if letter is not None else (None, place)
    if (word := _NUMBER_WORD.match(window, place)) is not None:
        return _number_of(word[0]), word.end()
    # What opened before the place may be the sign of a formula, so it is looked at with its opening.
    opened = window[:place].rstrip()
    if opened.endswith(("$", "\\(", "\\[")):
        at = len(opened) - (1 if opened.endswith("$") else 2)
        formula = FORMULA.match(window, at)
        if formula is not None:
            return content_of(formula), formula.end()
    first = next(iter(values(window[place:])), None)
    if first is not None and first.start == 0 and not re.match(r"\s*[-+*/^×÷·=]", window[place + first.end :]):
        return _as_latex(first), place + first.end
    expression = _EXPRESSION.match(window, place)
    if expression is None or not _SAYS_SOMETHING.search(expression[0].strip()):
        return None, place
    return expression[0].strip(" .,").rstrip("="), expression.end()


def _value_before(left: str, *, is_choice: bool) -> tuple[str, str] | None:
    """The value that a text ends in, and what stands before it."""
    if is_choice:
        letter = re.search(r"(?<![A-Za-z])\(?([A-J])\)?[*$]*\Z", left)
        return (letter[1], left[: letter.start()]) if letter is not None else None
    if left.endswith(("$", "\\)", "\\]")):
        for match in FORMULA.finditer(left):
            if match.end() == len(left):
                return content_of(match).strip(" .,;"), left[: match.start()]
    left = left.rstrip("$* )") if left.endswith(("$", "*")) else left
    if (word := re.search(rf"(?:^|(?<=[^A-Za-z-])){_NUMBER_WORD.pattern}\Z", left, re.IGNORECASE)) is not None:
        return _number_of(word[0]), left[: word.start()]
    ends = [value for value in values(left) if value.end == len(left)]
    expression = next((match for match in _EXPRESSION.finditer(left) if match.end() == len(left)), None)
    if ends and (expression is None or len(ends[0].text) >= len(expression[0].strip(" .,="))):
        return _as_latex(ends[0]), left[: ends[0].start]
    if expression is None or not _SAYS_SOMETHING.search(said := expression[0].strip(" .,=")):
        return None
    return said, left[: expression.start()]


def _as_latex(value: Value) -> str:
    number, space, unit = value.text.partition(" ")
    return f"{number} \\text{{{unit}}}" if space and unit.isalpha() and not value.is_formula else value.text


def _number_of(word: str) -> str:
    return NUMBERS_IN_WORDS.get(word.casefold(), f"\\text{{{word}}}")


def _in_a_table(text: str, place: int) -> bool:
    return text[text.rfind("\n", 0, place) + 1 : place].lstrip().startswith("|")
