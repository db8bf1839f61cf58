r"""The gold answer: what `answer`, else `reference`, asks of a candidate.

Policy
- `answer` is taken whole. A box, a statement or one value in a plain sentence ("She has 12 left.") is that answer.
  Prose with more in it ("Alice: 5, Bob: 7", "No, because 7 is odd", "5 if n is even and 7 if n is odd") and sentences
  of words alone ask for that text: the same words and values in the same order; small words, typesetting and the order
  of whole clauses aside.
- The identical text in a box is right, whatever it is.
- A reference without a box or statement at its end may state its answer at the start and prove it afterwards: "Answer:
  …", "We claim that the answer is …", "The minimum is …". Prose that ends in several values side by side ("12 cm long
  and 5 cm wide") says not which is asked for: no gold. One that is a calculation alone ("6 * 7 = 42") asks for its
  value; as `answer` it asks for the equation.
- A gold answer of words is met by the words that a sentence ends in ("So the bead is **red**."), too.

Not covered: paraphrases; other languages than by the identical text.
"""

import re
from dataclasses import dataclass

from rewright.service.mathematics.answers.boxes import boxes
from rewright.service.mathematics.answers.characters import plain_characters
from rewright.service.mathematics.answers.context import taken_back, visible
from rewright.service.mathematics.answers.extraction import WINDOW, Found, find_answer, is_bare, without_stars
from rewright.service.mathematics.answers.multiple_choice import gold_letter, option_letter
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS, is_words, normalise
from rewright.service.mathematics.answers.numbers import read_number
from rewright.service.mathematics.answers.prose import last_value, numbers_of
from rewright.service.mathematics.answers.quantities import FORMULA, Value, values
from rewright.service.mathematics.equations.words import words

_HEAD = 400
_LEAST_PROOF = 20
_NEAR_END = 300
_CONDITIONS = re.compile(
    r"\b(?:yes|no|not|never|none|neither|if|when|where|unless|because|since|as|or|and|but|except|between|than|least|most"
    r"|less|more|greater|fewer|odd|even|prime|divisible|multiples?|all|every|any|each|only|both|either|other)\b|n't\b"
    r"|[<>≤≥≠]|\\(?:le|ge|ne|lt|gt)",
    re.IGNORECASE,
)
_LONE_VALUE = re.compile(r"(?:^|\n)[ \t$*]*[-\d][\d.,/%]*[ \t$*.]*$")
_ANSWER_FIRST = re.compile(
    r"\W{0,12}(?:(?:solution|proof|claim)\W{1,6})?(?:\w+\W+){0,6}?"
    r"(?:(?:final\s+)?(?<![A-Za-z])ans(?:wer)?[*_]*\s?[.:=][*_]*|the\s+(?:\w+\s+)?answers?\b[^.\n]{0,40}?\s(?:is|are)\b)\s*",
    re.IGNORECASE,
)
_VALUE_FIRST = re.compile(
    r"\W{0,12}(?:(?:solution|claim)\W{1,6})?(?:we\s+(?:will\s+|shall\s+)?(?:claim|show|prove)\s+(?:that\s+)?)?"
    r"the\s[^.\n=]{0,100}?\s(?:is|are|equals?)\s+",
    re.IGNORECASE,
)
_PROVES = re.compile(
    r"\W{0,10}(?:proof|to\s+(?:see|prove|show)|for\s+the|we\s+(?:\w+\s+)?(?:show|prove|claim|construct)|indeed"
    r"|first(?:ly)?,?\s+(?:we\s+)?(?:show|prove|note|observe|give|construct|suppose|assume|let|consider)"
    r"|suppose|assume|this\s+is\s+(?:achiev|attain)|(?:an?\s+|the\s+)?(?:example|construction|upper|lower))",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n|。|;\s|,\s+(?:where|since|because|and|which|attained|achieved)\b")
_SIDE_BY_SIDE = re.compile(r"[^.;=+*/]{0,40}(?:\b(?:and|while|whereas)\b|,)[^.;=+*/]{0,30}")
_SIDES = re.compile(r"\s*(?:by|x|×)\s*")
_COMPUTES = re.compile(
    r"\b(?:so|thus|then|gets?|gives?|got|makes?|making|totals?|leav(?:es|ing)|equals?|which|since|because|plus|minus"
    r"|times|add(?:ed|ing|s)?|subtract\w*|multipl\w+|divid\w+|by|from|to|or|of)\b",
    re.IGNORECASE,
)
_TYPESETTING = re.compile(
    r"\\(?:text\w*|mathrm|mathbf|mbox|emph|boxed|left|right|quad|qquad|displaystyle)(?![a-z])|\\[ ,;:!()\[\]]"
    r"|[$*_`~{}\"“”]"
)
_SO_IN_CHINESE = re.compile(r"^\s*(?:所以|因此|综上(?:所述)?|故|即|答|则)[，,：:\s]*")
_CLAUSE_END = re.compile(r"[,;]\s+|\s+(?:and|while|whereas)\s+|,\s*and\s+")
_TOKEN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|\\[A-Za-z]+|[^\W\d_]+|[^\s\w.,:;?!'’。，：；！？、]")
_SMALL_WORDS = words(
    """
    a an the is are was were be has have had gets get got so thus therefore hence it its of that this then answer final
    and we i he she they will would
    """
)
_WORD = re.compile(r"[^\W\d_]{2}")
_LONG_WORD = re.compile(r"[^\W\d_]{4}|[^\x00-\x7f\W]{2}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_OPERATION = re.compile(r"\d[\s)}$%!]*(?:[-+*/×÷·^−]|\\(?:times|cdot|div))|\d!|\\(?:d?frac|sqrt|binom)")
_UNITS_AND_COMMANDS = re.compile(r"\\(?:text|mathrm)\s*\{[^{}]*\}|\\[A-Za-z]+")
_ONE_NUMBER = re.compile(r"(?!\D*$)[^<>≤≥≠,;]+")
_LETTER = re.compile(r"[^\W\d_]")
_BOLD_END = re.compile(r"\*\*([^*\n]{1,80})\*\*[.!\s]*$")
_COMPLEMENT = re.compile(r"(?:.*\s(?:is|are|was|were|be)\s+|.*(?<![=!<>:])[:=](?!=)\s*)(\S.*?)[.!\s*]*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Gold:
    """`text`: the answer, as found. `letter`: where it is a choice; with `option`, its text is right as well. `prose`:
    it asks for this text as a whole. `raw`: what was given, where identical text is right."""

    text: str
    letter: str | None = None
    option: bool = False
    prose: bool = False
    raw: str = ""


def read_gold(answer: str | None, reference: str | None, problem: str | None = None) -> Gold | None:
    """The gold answer of a group; None where there is none, or none that can be held against a candidate."""
    if answer is not None and answer.strip():
        return _of_answer(answer)
    return _of_reference(reference, problem) if reference and reference.strip() else None


def _of_answer(answer: str) -> Gold | None:
    raw = answer.strip()
    found = find_answer(answer)
    if len(raw) >= MAX_CHARACTERS:
        return Gold(found.text, gold_letter(found.text)) if found else None
    letter = gold_letter(answer)
    if found is not None and (letter or boxes(raw)):
        return Gold(found.text, letter or gold_letter(found.text), raw=raw)
    if found is not None and (letter := option_letter(found.sentence or raw)):
        return Gold(found.text, letter, option=True, raw=raw)
    held = raw if found is None or not found.stated else found.sentence or found.text
    if found is not None and (is_bare(held) or _one_value(held)) and not _other_script_words(held):
        return Gold(found.text, raw=raw)
    return Gold(held, prose=True, raw=raw)


def _one_value(prose: str) -> bool:
    """A plain sentence around one value, without conditions."""
    return len(values(prose)) == 1 and _CONDITIONS.search(prose) is None


def _other_script_words(text: str) -> bool:
    return not text.isascii() and not re.search(r"[A-Za-z0-9]", plain_characters(text))


def _of_reference(reference: str, problem: str | None) -> Gold | None:
    found = find_answer(reference, problem)
    if found is None or (not found.stated and not _LONE_VALUE.search(reference.rstrip()[-60:])):
        if (head := _at_start(reference)) is not None:
            return _choice_or_value(head)
        ending = last_value(reference, problem)
        if found is not None and ending is not None and _several_asked(ending.sentence, reference, problem):
            return None
    elif found.sentence is not None and not boxes(reference[-WINDOW:]):
        place = reference.rfind(found.sentence[:80])
        if 0 <= place < len(reference) - len(found.sentence) - _NEAR_END and (head := _at_start(reference)) is not None:
            return _choice_or_value(head)
    if found is None:
        return None
    return _choice_or_value(_value_of_calculation(found.text) or found.text)


def _value_of_calculation(text: str) -> str | None:
    """What "6 * 7 = 42 jars" comes to: a solution of one line. An equation with letters is an answer as it stands."""
    before, equals, value = text.rpartition("=")
    if not equals or not _OPERATION.search(before) or _LETTER.search(_UNITS_AND_COMMANDS.sub(" ", before)):
        return None
    value = value.strip("$ .,")
    if is_bare(value) and not _WORD.search(_UNITS_AND_COMMANDS.sub(" ", value)):
        return value if _ONE_NUMBER.fullmatch(value) else None
    found = values(value)
    return found[0].text if len(found) == 1 else None


def _choice_or_value(text: str) -> Gold:
    return Gold(text, gold_letter(text))


def _at_start(reference: str) -> str | None:
    """The answer that the first sentence of a longer text states, to prove it afterwards."""
    whole = reference.strip()
    head = whole[:_HEAD]
    first = _SENTENCE_END.search(head, 1)
    if first is None or len(whole) < first.end() + _LEAST_PROOF:
        return None
    alone = without_stars(head[: first.start()].strip())
    if FORMULA.fullmatch(alone) or read_number(alone) is not None or alone in ("Yes", "No"):
        return alone.strip("$ ")
    if match := _ANSWER_FIRST.match(head):
        return _value_at(head[match.end() :])
    if (match := _VALUE_FIRST.match(head)) and (end := _SENTENCE_END.search(head, match.end())):
        held = head[match.end() : end.start()]
        if _PROVES.match(head[end.end() :]) and not re.search(r"\d\s*[-+*/=×]\s*\d", held):
            return _value_at(head[match.end() :])
    return None


def _value_at(rest: str) -> str | None:
    end = _SENTENCE_END.search(rest, 1)
    held = without_stars(rest[: end.start()].strip()) if end is not None else ""
    if not held or is_bare(held):
        return held or None
    ending = last_value(held)
    return ending.text if ending is not None and _one_value(held) else None


def _several_asked(sentence: str, reference: str, problem: str | None) -> bool:
    """The sentence ends in values side by side that are new: which of them is asked for is not said."""
    if "=" in sentence:
        return False
    found = values(sentence)
    if len(found) < 2:
        return False
    first, second = found[-2:]
    between = sentence[first.end : second.start]
    sides = _SIDES.fullmatch(between) is not None and " " in first.text and " " in second.text
    if not sides and (not _SIDE_BY_SIDE.fullmatch(between) or _COMPUTES.search(between)):
        return False
    start = reference.rfind(sentence[:80])
    known = numbers_of(problem or "") | numbers_of(reference[:start] if start > 0 else "")
    return not any(_numbers(value) <= known for value in (first, second))


def _numbers(value: Value) -> frozenset[str]:
    return numbers_of(value.text)


def same_prose(gold: str, found: Found | None, candidate: str) -> bool:
    """The candidate states the gold's text: its box, its statement, or its last sentence."""
    wanted = _clauses(gold)
    texts = [found.text, found.sentence or ""] if found is not None else []
    tail = candidate[-WINDOW:]
    if found is None or not found.stated:
        last = candidate[-MAX_CHARACTERS:].strip()
        texts += [last, re.split(r"(?<=[.!?])\s+(?=[A-Z])|\n", last)[-1]]
    if (boxed := boxes(tail)) and not taken_back(tail, boxed[-1].start, boxed[-1].end):
        texts.append(boxed[-1].content)
    return any(_clauses(text) == wanted for text in texts if text)


def _clauses(text: str) -> list[tuple[str, ...]]:
    """The tokens of a text that matter, clause by clause; clauses that each hold words and values are sorted."""
    plain = _SO_IN_CHINESE.sub("", " ".join(_TYPESETTING.sub(" ", text[:MAX_CHARACTERS]).split()))
    whole = _tokens(plain)
    if any(bracket in plain for bracket in "([|"):
        return [whole]
    clauses = [_tokens(part) for part in _CLAUSE_END.split(plain)]
    complete = all(
        any(token[0].isdigit() for token in part) and any(token.isalpha() for token in part) for part in clauses
    )
    return sorted(clauses) if complete and len(clauses) > 1 else [whole]


def _tokens(plain: str) -> tuple[str, ...]:
    """Letters of one or two are symbols, whose case matters."""
    tokens = (token.casefold() if len(token) > 2 or token in ("No",) else token for token in _TOKEN.findall(plain))
    return tuple(token.replace(",", "") for token in tokens if token.casefold() not in _SMALL_WORDS)


def says(gold: Gold, found: Found | None, candidate: str) -> bool:
    """What is not right by value is so by its text: letter for letter, or where the gold has words, by those."""
    if repeats(gold, found, candidate) or ends_in_words(gold.text, found, candidate):
        return True
    in_words = _LONG_WORD.search(_COMMAND.sub(" ", gold.raw)) is not None
    return in_words and same_prose(gold.raw, found, candidate)


def repeats(gold: Gold, found: Found | None, candidate: str) -> bool:
    """The candidate's answer is what was given as the gold, letter for letter; a box may even hold a denial then."""
    if not gold.raw or gold.raw not in candidate:
        return False
    if found is not None:
        return found.stated and gold.raw.split() in (found.text.split(), (found.sentence or "").split())
    tail = visible(candidate[-WINDOW:])
    boxed = boxes(tail)
    if not boxed or boxed[-1].content.split() != gold.raw.split() or _WORD.search(gold.raw) is None:
        return False
    return not taken_back(tail, boxed[-1].start, boxed[-1].end)


def ends_in_words(gold: str, found: Found | None, candidate: str) -> bool:
    """For gold answers of words, where the candidate states none: its last sentence ends in them, as what it says of
    its subject or in bold."""
    if found is not None and found.stated:
        return False
    wanted = normalise(gold)
    if not is_words(wanted):
        return False
    last = re.split(r"(?<=[.!?])\s+(?=[A-Z*])|\n", candidate[-MAX_CHARACTERS:].strip())[-1][-400:]
    for pattern in (_BOLD_END, _COMPLEMENT):
        if (match := pattern.search(last)) is not None and not taken_back(last, match.start(1), match.end(1)):
            said = normalise(match[1])
            if is_words(said) and said.casefold() == wanted.casefold():
                return True
    return False
