"""Problems that are the same but for how numbers are written, names and white space: one key for all of a family.

Promises: the key is a function of the problem alone. It errs to one side: problems that are no family may share a key,
which only puts them on the same side of a split. Words that begin with a capital are names or begin sentences; they,
pronouns, signs of punctuation and marks of typesetting are left out, numbers are written one way.

Not covered: the same problem in other words, or with other numbers.
"""

import hashlib
import re
import unicodedata

_TYPESETTING = re.compile(r"\\(?:left|right|displaystyle|text|mathrm|mathbf|quad|qquad)\b|\\[,;:! $%]|[${}~]")
_COMMA = re.compile(r"(?<=\d)(?:,|'| |\\[,!])(?=\d{3}(?!\d))")
"""Between thousands; NFKC has made plain spaces of narrow ones by then."""
_TOKEN = re.compile(r"(?P<number>\d+(?:\.\d+)?)|(?P<word>[^\W\d_]+)|(?P<end>[.?!:;]+)|(?P<sign>[+\-*/=<>^|%°])")
_PRONOUNS = {"he", "she", "they", "his", "her", "hers", "him", "their", "theirs", "them", "s", "himself", "herself"}
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: str(n) for n, word in enumerate(_UNITS.split())}
_NUMBERS |= {word: str(10 * n) for n, word in enumerate(_TENS.split(), start=2)}


def family_key(problem: str) -> str:
    """Equal for problems of one family."""
    plain = unicodedata.normalize("NFKC", problem)
    plain = _TYPESETTING.sub(" ", _COMMA.sub("", plain.replace("{,}", ",").replace("\\!", "")))
    tokens: list[str] = []
    begins = True
    for match in _TOKEN.finditer(plain):
        if match["end"]:
            begins = True
            continue
        token = match[0]
        if match["word"]:
            token = _word(token, begins=begins)
        elif match["number"]:
            token = _number(token)
        begins = False
        if token:
            tokens.append(token)
    return " ".join(tokens)


def family_hash(problem: str) -> str:
    """The key's hash; a problem of which nothing is left is a family of its own."""
    key = family_key(problem) or problem
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _word(word: str, *, begins: bool) -> str:
    """Nothing for a name, a pronoun, or what a sentence begins with, in scripts that have capitals."""
    lower = word.lower()
    if lower in _NUMBERS:
        return _NUMBERS[lower]
    has_case = lower != word.upper()
    return "" if lower in _PRONOUNS or (has_case and (begins or word[0].isupper())) else lower


def _number(number: str) -> str:
    whole, _, decimals = number.partition(".")
    decimals = decimals.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{decimals}" if decimals else "")
