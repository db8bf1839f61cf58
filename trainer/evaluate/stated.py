r"""What an answer *states*: evaluation credits nothing else. Unlike the reward's reading, it finds no value in prose.

These are statements, and of those in a text the last one counts:

    box             \boxed{C}, \fbox{C}; closed, not empty, no copy of the form that was asked for ("like \boxed{A}")
    announcement    "the answer (to …) is C", "Answer: C", "the correct option is C", "#### C", "答案是C", "故选C"
    verdict         "option C is correct", "C is the correct answer"
    last line       the letter alone ("C", "(C)", "**C.**"), where no other letter has a line of its own
    whole text      a letter, with or without its option's text; for other questions one value and nothing else

A statement names an option by its letter, by letter and text, or by its text. Other text that is stated (`\boxed{0.5}`
for the option 1/2) is handed on, for a verifier to compare. Two letters ("A or C") name none.

Nothing is stated by a list of options, even behind "Answer:"; by what is denied or supposed ("the answer is not C", "if
the answer is C", "\boxed{C} is wrong"); or by the sentence that an answer was cut off in.

Lines end at "\n" alone. The last 50,000 characters are read, and of each kind the last 64 statements. Not covered:
languages beyond English and Chinese, letters in words, second thoughts that state nothing themselves.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

GRADING = "stated-v1"
"""Changes with every change of what counts as stated: a part of what an evaluation's numbers depend on."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WINDOW = 50_000
_NEAR = 80
_LONGEST = 2_000
_MANY = 64
"""Statements of one kind that are looked at, from the end."""

_SPACE = re.compile(r"\s*")

_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_FORM = re.compile(
    r"\b(?:like|such[ \t]+as|e\.g\.|example|(?:this|following)[ \t]+form|format)[\s:,$\\(\[*`\"'“]*$", re.IGNORECASE
)
_NAMED = r"(?:correct|right|best|final|my|most[ \t]+\w+)"
_ADVERB = r"(?:therefore|thus|hence|then|clearly|simply|definitely|indeed|surely|probably|most[ \t]+likely)"
_IS = r"(?:is|(?:must|should|would|will|has[ \t]+to)[ \t]+be)(?![A-Za-z])"
_ANNOUNCEMENT = re.compile(
    rf"(?i:(?<![a-z])(?:answer(?:[ \t]+(?:choice|option|letter))?|{_NAMED}[ \t]+(?:option|choice|letter))[*_]{{0,3}}"
    rf"(?:[ \t]*[:：=][*_]{{0,3}}|(?:[ \t]+(?:to|for|of|that|which)[ \t][^.:,\n]{{1,60}}?)?,?(?:[ \t]+{_ADVERB},?)?"
    rf"[ \t]+{_IS}(?:,?[ \t]+{_ADVERB},?)?[ \t]*[:：]?))"
    r"|(?:^|(?<=\n))[ \t]*####"
    r"|答案?(?:应该|应当|应)?(?:是|为|选|[：:])|正确(?:选项|答案)(?:是|为|[：:])|(?:故|应|所以|因此|本题)[，,]?(?:答案)?选(?!项)择?[：:]?"
)
_NOT_THE = re.compile(
    r"\b(?:an?|any|no|one|each|every|another|other|possible|potential|plausible|first|second|third|fourth|fifth|wrong"
    r"|incorrect|false|given|candidate|tempting|common)[ \t]+(?:\w+[ \t]+)?$",
    re.IGNORECASE,
)
"""Before an announcement: it speaks of one answer among others."""
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|suppose|supposing|assume|assuming|unless|might|could|may|maybe|perhaps|claims?)\b|如果|假设|若)"
    r"[^.;!?\n。；,，]{0,40}$"
    r"|(?:\b(?:not|never)|n't)(?:\s+(?:think|believe|say|claim|mean|know|sure|certain|clear|that|the|be|is)){0,4}\s*$|不是$",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:(?:not|never|neither|unknown|unclear|wrong|incorrect|one[ \t]+of|among|either)(?![A-Za-z])|n't\b|不)",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[\s$)\]*\\]*(?:[.,;]?\s*(?:but\s+)?(?:that|this|which|it)\s+)?(?:(?:is|was|would\s+be|seems)\s+(?:\w+ly\s+)?"
    r"(?:not|wrong|incorrect|false|a\s+mistake)|(?:is|was)n't|can(?:no|')t\s+be)"
    r"(?:\s+(?:right|correct|true|possible|it))?(?=\s*(?:[.,;!)]|$|(?:because|since|as|here|either)\b))",
    re.IGNORECASE,
)
_LETTER_IN = r"[*_$]{0,3}\(?([A-Z])\)?[*_$]{0,3}[ \t]+"
_VERDICT = re.compile(
    rf"(?<![A-Za-z])(?:(?i:option|choice|answer)[ \t]+{_LETTER_IN}(?i:is[ \t]+(?:(?:{_ADVERB}|the)[ \t]+){{0,2}}"
    r"(?:correct|right|best)(?![A-Za-z]))"
    rf"|{_LETTER_IN}(?i:is[ \t]+(?:{_ADVERB}[ \t]+)?the[ \t]+(?:correct|right|best)[ \t]+(?:answer|option|choice))"
    r"(?![A-Za-z]))"
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|[。；;]|\n")
_TYPESETTING = re.compile(
    r"\\(?:text[a-z]*|mathrm|mathbf|mathit|boldsymbol|mbox|displaystyle|left|right|q?quad)(?![A-Za-z])"
    r"|\\(?=[ ,;:!()\[\]%$&#])|[${}*_`]"
)
_LETTER = re.compile(r"(?i:the[ ]+)?(?i:(?:option|choice|letter)[ ]+)?[(\[（]?\s*([A-Z])(?![A-Za-z'’])(?:\s*[)\]）])?")
_ENDS = re.compile(
    r"$|\s*[.,;:!?)\]—–(-]|\s+(?:because|since|as|for|which|where|and|not|with|is|by|from)\b|\s*[^\x00-\x7f]"
)
"""Behind a letter or an option's text that is the whole of what is stated."""
_MARK = re.compile(r"\s*[.:：、，,)—–]?\s*(?:-\s+)?")
"""Between an option's letter and its text."""
_MORE = re.compile(
    r"\s*[.)]?\s*(?:,|/|&|、|\b(?:or|and)\b|和|或)\s*(?:(?:or|and|option|choice)\s+)*[(\[]?[A-Z](?![A-Za-z'’])"
)
_ALONE = re.compile(r"[\s*_$(\[（]*(?:\\(?:text\w*|mathbf|mathrm)\{)?\(?([A-Z])\)?\}?[\s*_$.。)\]）]*")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|[^\x00-\x7f°×·−π∞√±]{3,}")


class Statement(NamedTuple):
    """held: what is stated; line: the same up to the end of its line; start, end: where the statement stands."""

    held: str
    line: str
    start: int
    end: int
    is_box: bool = False


class Choice(NamedTuple):
    """letter: of the option that is named, None where it is none of them or several; said: the statement itself, for a
    verifier to read; is_open: it names no option by letter or text, but may equal one."""

    letter: str | None
    said: str
    is_open: bool = False


def stated_value(text: str, *, cut: bool) -> str | None:
    """Without options: the text as a verifier is to read it, or None where it states nothing.

    cut: the answer was cut off; then it is read up to the end of its last statement."""
    tail = _last_part(text)
    found = _statements(tail, (), cut=cut)
    if found:
        return tail[: found[-1].end] if cut else tail
    whole = tail.strip()
    return whole if whole and not (cut or "\n" in whole or _WORD.search(whole) or _BOX.search(whole)) else None


def stated_option(text: str, options: Sequence[str], *, cut: bool) -> Choice | None:
    """With options (texts, in the order of their letters): what is chosen, or None where nothing is stated."""
    tail = _last_part(text)
    found = _statements(tail, options, cut=cut) + ([] if cut else _alone(tail, options))
    for statement in sorted(found, key=lambda each: each.end, reverse=True):
        choice = _choice(statement, options)
        # "Answer: let us see" announces no option, and takes nothing back.
        if not choice.is_open or statement.is_box or not _WORD.search(_clean(statement.held)):
            return choice
    return None


def same_option(one: str, other: str, options: Sequence[str]) -> bool:
    """Whether two letters name the same option: benchmarks have options that are there twice."""
    return one == other or _plain(options[LETTERS.index(one)]) == _plain(options[LETTERS.index(other)])


def _last_part(text: str) -> str:
    tail = text[-_WINDOW:]
    thought, _, after = tail.rpartition("</think>")
    return after if thought and after.strip() else tail


def _statements(text: str, options: Sequence[str], *, cut: bool) -> list[Statement]:
    """Boxes, announcements and verdicts that are neither denied nor supposed, by where they end."""
    found = list(_boxes(text))
    for match in list(_ANNOUNCEMENT.finditer(text))[-_MANY:]:
        start = match.end() + len(_SPACE.match(text, match.end())[0])  # type: ignore[index]
        end = _SENTENCE_END.search(text, start)
        stop = end.start() if end else len(text)
        line_end = text.find("\n", start) % (len(text) + 1)
        held, line = text[start:stop].strip(), text[start:line_end].strip()
        if not held or _BOX.search(held) or (cut and end is None):
            continue
        if _NOT_THE.search(text[max(0, match.start() - _NEAR) : match.start()]):
            continue
        if (_DENIED.match(held) or _begins_a_list(line, text, line_end)) and not _is_one_of(line, options):
            continue
        found.append(Statement(held, line, match.start(), stop))
    for match in list(_VERDICT.finditer(text))[-_MANY:]:
        found.append(Statement(match[1] or match[2], match[1] or match[2], match.start(), match.end()))
    return sorted((each for each in found if not _is_taken_back(text, each)), key=lambda each: each.end)


def _boxes(text: str) -> Iterator[Statement]:
    for match in list(_BOX.finditer(text))[-_MANY:]:
        depth, place, last = 1, match.end(), min(len(text), match.end() + _LONGEST)
        while depth and place < last:
            depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
            place += 1
        held = text[match.end() : place - 1].strip()
        if not depth and held and not _FORM.search(text[max(0, match.start() - _NEAR) : match.start()]):
            yield Statement(held, held, match.start(), place, is_box=True)


def _is_taken_back(text: str, statement: Statement) -> bool:
    before, behind = (
        text[max(0, statement.start - _NEAR) : statement.start],
        text[statement.end : statement.end + _NEAR],
    )
    return _SUPPOSED.search(before) is not None or _TAKEN_BACK.match(behind) is not None


def _begins_a_list(line: str, text: str, line_end: int) -> bool:
    """The next letter stands with its mark on the same line, or begins the next one that is not blank."""
    named = _LETTER.match(_clean(line))
    if named is None:
        return False
    following = chr(ord(named[1]) + 1)
    mark = rf"[(\[（]?{following}[).:：、）\]]"
    below = text[line_end : line_end + _NEAR].lstrip()
    return (
        re.search(rf"(?<!\bor)(?<!\bnot)(?<!\band)(?<!\bthan)[\s,;，；]{mark}(?=\s*\S)", line) is not None
        or re.match(rf"[*_\s-]*(?:{mark}|{following}\s*(?:\n|$))", below) is not None
    )


def _alone(text: str, options: Sequence[str]) -> list[Statement]:
    """The last line where it is a letter; the whole text where it is one option."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return []
    last, end = lines[-1].strip(), len(text)
    if len(lines) == 1 and not _begins_a_list(last, text, end) and _named_in(last, options, whole=True):
        return [Statement(last, last, 0, end)]
    alone = [match[1] for line in lines if (match := _ALONE.fullmatch(line))]
    return [Statement(alone[-1], alone[-1], end, end)] if _ALONE.fullmatch(last) and len(set(alone)) == 1 else []


def _choice(statement: Statement, options: Sequence[str]) -> Choice:
    said = f"$\\boxed{{{statement.held}}}$" if statement.is_box else f"The answer is {statement.held}."
    listed = statement.is_box and _begins_a_list(statement.line, "", 0) and not _is_one_of(statement.line, options)
    letter = "" if listed else _named_in(statement.line, options, whole=statement.is_box)
    small = _clean(statement.held).upper()
    if letter is None and statement.is_box and len(small) == 1 and small in LETTERS[: len(options)]:
        letter = small
    return Choice(letter or None, said, is_open=letter is None)


def _named_in(line: str, options: Sequence[str], *, whole: bool) -> str | None:
    """The letter of the option that the line begins with (whole: that it is); "" for several; None for none."""
    said, texts = _clean(line), [_plain(option) for option in options]
    named = _LETTER.match(said)
    if named is not None and named[1] in LETTERS[: len(options)] and not (len(said) > 1 and _plain(line) in texts):
        letter = _by_letter(named[1], said[named.end() :], texts, whole=whole)
        if letter is not None:
            return letter
    plain = _plain(line)
    fits = [n for n, text in enumerate(texts) if text and _begins(plain, text, whole=whole)]
    if not fits:
        return None
    longest = [n for n in fits if len(texts[n]) == max(len(texts[n]) for n in fits)]
    exact = [n for n in longest if _bare(options[n]) == _bare(line)]  # "Aa" and "aa" are two options
    alike = {_bare(options[n]) for n in exact or longest}
    return LETTERS[(exact or longest)[0]] if len(alike) == 1 else ""


def _by_letter(letter: str, rest: str, texts: Sequence[str], *, whole: bool) -> str | None:
    """rest: what stands behind the letter. None where it is no option's letter after all ("A person who …")."""
    behind, mine = _plain(_MARK.sub("", rest, count=1)), texts[LETTERS.index(letter)]
    if mine in (behind, _plain(rest)):
        return letter
    if _MORE.match(rest) or behind in texts:
        return ""
    if behind == "" or (not whole and (_ENDS.match(rest) or (mine and behind.startswith(mine)))):
        return letter
    return letter if whole and re.match(r"\s*[.:：、)—–-]", rest) else None


def _is_one_of(line: str, options: Sequence[str]) -> bool:
    """It is an option's text, and more than a letter."""
    return len(_bare(line)) > 1 and _plain(line) in map(_plain, options)


def _begins(plain: str, text: str, *, whole: bool) -> bool:
    return plain == text or (not whole and plain.startswith(text) and _ENDS.match(plain[len(text) :]) is not None)


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", _TYPESETTING.sub("", text)).strip()


def _bare(text: str) -> str:
    return _clean(text).rstrip(" .。,;；，")


def _plain(text: str) -> str:
    return _bare(text).casefold()
