r"""What stands around an answer: words that take it back, alternatives beside it, a formula that it is only a part of.

Everything here reads a few hundred characters on either side of one place, so its time does not grow with the text. A
run of white space in them is read as one sign, since several patterns side by side could each take any part of it.

Promises
- `visible` removes what a reader of the typeset text would not see as said: comments, struck-out and invisible parts.
- `taken_back` knows denials, suppositions and quotations of the question, where nothing but filler words stands between
  them and the answer; a comma, a colon or a word of substance ends their reach ("17 is wrong, so the answer is 18").
- `alternatives` tells two guesses from two steps: only words that offer the second *instead* of the first count.
- `whole_formula` reads `-\boxed{5}` as -5 and `\boxed{5} \cdot 10^3` as 5000.

Not covered: irony, denials in other languages than English, a denial two sentences later.
"""

import re

from rewright.service.mathematics.answers.normalisation import closing_brace

_REACH = 160
_STRUCK_OUT = 64

_COMMENT = re.compile(
    r"<!--.*?(?:-->|\Z)|\\iffalse\b.*?(?:\\fi\b|\Z)|(?<!\\)%[ \t]*(?=\\f?box(?:ed)?\b)[^\n]*", re.DOTALL
)
_STRUCK = re.compile(r"\\(?:[xb]?cancel|sout|st|[hv]?phantom)\s*(?=\{)")
_STRUCK_IN_MARKDOWN = re.compile(r"~~(?=\S)[^~\n]{1,200}(?<=\S)~~")

_SPACE_RUN = re.compile(r"\s{2,}")
_SENTENCE_START = re.compile(r".*(?:[.!?。][\s*$]|\n)", re.DOTALL)
_FILLER = (
    r"(?:that|the|an?|it|its|is|be|being|was|were|are|to|equals?|of form|number|value|result|final|correct|right|true"
    r"|answers?|solution|case|x|say|says|said|saying|write|claim|conclude|think|believe|would|should|could|can|will"
    r"|has|have|there|ways?|really|actually|exactly|simply|possibly|surely|ever|get|put|choose|give)"
)
_GAP = r"[\s$*_(\[{\\\"'“]"
_DENIAL = (
    r"(?:\b(?:not|never|neither|nor|cannot|nobody|no one|except|unlike)\b|n't\b|\b(?:other|rather) than\b"
    r"|\b(?:different|far) from\b|\b(?:anything|everything|nothing) but\b|\binstead of\b|\bI doubt\b)"
)
_SUPPOSITION = (
    r"\b(?:suppose|supposing|assume|assuming|imagine|if|unless|whether"
    r"|(?:one|you|some|someone|people|students|many|it)\s+(?:might|may|could|would)\s+(?:think|seem|guess|say"
    r"|believe|expect)"
    r"|(?:most|many|some|few|other|several|careless)\s+(?:people|students|solvers|candidates|readers|children|beginners)\s+"
    r"(?:(?:would|will|might|may|do)\s+)?(?:answer|say|write|guess|think|claim|believe|assume|expect))\b"
)
_FAULT = r"\b(?:wrong|incorrect|false|mistaken|erroneous|invalid|mistake|trap|distractor)\b"
_TAKEN_BACK_BEFORE = re.compile(
    rf"(?:(?:{_DENIAL}|{_SUPPOSITION})(?:{_GAP}+{_FILLER}\b)*|{_FAULT}(?:{_GAP}+{_FILLER}\b)+){_GAP}*$",
    re.IGNORECASE,
)
_OTHERS_STEMS = (
    "rong", "correct", "alse", "istak", "rror", "nvalid", "gnore", "isregard", "tempted", "hoever", "who", "hose",
    "eople", "tudent", "ays", "said", "laim", "hink", "rote",
)  # fmt: skip
_BY_OTHERS = re.compile(
    rf"{_FAULT}[^.:\n]{{0,40}}:{_GAP}*$|{_FAULT}[^.\n]{{0,20}}\b(?:gives|yields|leads\s+to|results\s+in){_GAP}*$"
    rf"|\b(?:ignore|disregard)\s+(?:this|that|the(?:\s+following)?)?:?{_GAP}*$"
    rf"|\btempted\s+to\s+(?:answer|say|think|write|guess|put){_GAP}*$"
    rf"|\b(?:someone|somebody|anyone|whoever|those|people|students?)\s+(?:who\s+)?(?:forgets?|ignores?|neglects?|overlooks?"
    rf"|mis\w+)\b[^.\n]{{0,60}}\b(?:gets?|obtains?|finds?|says?){_GAP}*$"
    rf"|\b(?:friend|brother|sister|teacher|neighbou?r|classmate|key|book)\s+(?:says?|said|claims?|claimed|thinks?|wrote)"
    rf"(?:{_GAP}+{_FILLER}\b)*{_GAP}*$",
    re.IGNORECASE,
)
"""What is announced as wrong, and what others are said to answer; looked for where one of the stems stands."""
_QUOTATION = re.compile(
    r"(?:\b(?:problem|question|exercise|task|prompt|puzzle)\s+(?:says|said|asks|asked|states|stated|mentions|mentioned"
    r"|gives|gave|reads|contains|quotes|wants)|\bwe\s+(?:are|were)\s+(?:told|given|asked)"
    r"|^[\s*#]*(?:question|problem|given|hint|(?:format\s+)?example|format|find)(?=\W*:))"
    r"(?:[\s:$*_(\[{\\\"'“]+(?:that|what|whether|if|is|for|about|the|an?|us|number|value|find|to"
    r"|it)\b)*[\s:$*_(\[{\\\"'“]*$"
    rf"|\b(?:replace|such as|for example|e\.g\.|(?:box|boxed|form|format)\s+(?:like|as)){_GAP}*$",
    re.IGNORECASE,
)
_CONTRARY = re.compile(
    r"(?:\bif\b[^.\n]{1,80}?,\s*(?:then\s+)?(?:the\s+)?(?:\w+\s+)?(?:answer|solution)\s+would\s+(?:be|have\s+been)"
    r"|\bit\s+would\s+have\s+been"
    r"|\b(?:had|were)\s+(?:we|I|you|one|it|they|order|the\s+\w+)\b[^.\n]{1,80}?\bwould\b[^.\n]{0,30}?)"
    rf"{_GAP}*$",
    re.IGNORECASE,
)
"""Of a case that is not the problem's."""
_AT_FIRST = re.compile(r"\bat\s+first\s+(?:glance|sight|look)\b,?[^.,\n]{0,40}$", re.IGNORECASE)
_GOES_ELSEWHERE = (
    r"\b(?:not|never|no|nothing|neither|nor|\w+n't|and|since|because|as|while|whereas|others?|rest|otherwise|without"
    r"|unless|if|when|than|despite|avoid|numbers?|counts?|total|amount|many|how|until|before|after|so|thus|hence|therefore"
    r"|which|making|leaving|options?|statements?|claims?)\b"
)
_CALLED_WRONG = (
    r"(?:is|was|are|were|looks?|seems?|appears?|sounds?|feels?|turns?\s+out|proves?|would\s+be|(?:may|might|must|could|can)\s+be)"
    rf"(?:(?!{_GOES_ELSEWHERE})[^.;:\n\d$\\]){{1,80}}?"
    r"(?:\b(?:wrong|incorrect|false|mistaken|erroneous|invalid)\b(?!\s+\w+s\b)|\bby\s+(?:mistake|accident|error)\b)"
)
_BY_FAULT = (
    r"(?:what|(?:value|number|answer|result)(?:\s+that)?)\s+(?:you|one|we|they|people|students|many|some)\s+"
    r"(?:(?:would|might|may|could)\s+)?(?:get|gets|obtains?|finds?)\s+(?:by|if|when|after|from)\s+"
    r"(?:(?:you|one|we|they|people)\s+)?(?:forget|forgot|ignor|neglect|overlook|mis[a-z]|careless|not\b|do(?:es)?\s*n[o'])"
)
_NAIVE = r"(?:na[iï]ve|careless|hasty|tempting)"
_NAIVE_STEMS = ("aive", "aïve", "areless", "asty", "empting")
_NAIVE_BEFORE = re.compile(
    rf"\b{_NAIVE}(?:ly)?\s+(?:\w+\s+){{0,2}}(?:gives?|is|would\s+(?:give|be)|yields?|suggests?|says?|leads?\s+to|gets?){_GAP}*$",
    re.IGNORECASE,
)
_TAKEN_BACK_AFTER = re.compile(
    r"[\s$)\]*\\]*+(?:\?"
    rf"|\s*[(,—–-]+\s*(?:(?:the|an?|my)\s+)?{_NAIVE}\b"
    rf"|\s*(?:is|would\s+be)\s+what\s+an?\s+{_NAIVE}\b"
    rf"|\s*{_CALLED_WRONG}"
    r"|,?\s*\b(?:if|when|by)\s+(?:(?:one|you|we|they|people|someone)\s+)?(?:forget|ignor|neglect|overlook|omit|misread|miscount)\w*"
    r"|,?\s*\bbut\s+(?:that|this|it)\s+(?:misses|ignores|neglects|overlooks|forgets|omits|double-counts|overcounts)\b"
    r"|[\s,;]*\b(?:but\s+)?(?:(?:this|it|that|which)\s+)?(?:double[- ]?counts?|over-?counts?"
    r"|counts?\s+(?:each|every)\s+\w+\s+(?:twice|two\s+times))\b"
    r"|\s*(?:is|was)\s+(?:double|twice|half)\s+(?:of\s+)?(?:what|the\s+(?:right|correct|true|actual))\b"
    r"|[\s,;]*\b(?:and|but)\s+(?:we|this)\s+(?:must|should|need\s+to|needs\s+to|have\s+to|has\s+to)\s+(?:be\s+)?"
    r"(?:halved?|divided?|doubled?|subtract\w*|correct\w*)\b"
    r"|[\s.,;:–—-]*(?:hmm+|actually|oops|no,?\s+wait|wait|sorry|correction)\b[^\n]{0,60}?\b(?:not\s+(?:correct|right)|error"
    r"|meant|should\s+be|no:|wrong|incorrect|mistake)|[\s.,;:–—-]*(?:scratch\s+that|oops)\b"
    r"|\s*is\s+off\b(?=\s*(?:by\b|[.,;!]|$))"
    r"|\s*(?:(?:can|should|must|may)\s*(?:not|n't)|can't)\s+be\s+(?:trusted|believed|accepted|relied|taken|used)\b"
    r"|\s*would\s+(?:be|have\s+been)\s+(?:the\s+)?(?:\w+\s+)?(?:answer|right|correct|result|true|value|solution|case)\b"
    r"[^.\n]{0,20}?\b(?:if|had|were|only|provided|unless|assuming)\b"
    r"|[^.\n]{0,60}?\bI\s+(?:\w+\s+)?(?:doubt|(?:do\s+not|don't)\s+(?:really\s+)?(?:believe|trust|think\s+so))\b"
    r"|[\s.,;]*\b(?:however|but)\b[^.\n]{0,80}\b(?:(?:over|under|double|mis)[- ]?count\w*|should\s+be\s+\$?[-\d\\])"
    r"|,\s+(?:an?|my)\s+(?:\w{1,12}\s+)?(?:mistake|slip|typo|error|miscalculation)\b"
    r"|\s*(?:comes|came|results?)\s+from\s+(?:forget|ignor|neglect|overlook|mis[a-z]|careless)"
    r"|\(?(?:[.,;]?\s*(?:(?:but|yet|though|although|and)\s+)?(?:that|this|which|it)?)\s*"
    r"(?:(?:is|was|were|are|would be|must be|can be|seems|looks)(?:\s+(?:clearly|obviously|a|an|the|common"
    r"|typical|frequent|tempting|far|my|our|only|just|merely))*\s+"
    r"(?:wrong|incorrect|false|impossible|mistaken|mistake|trap|distractor|typo|invalid|absurd|ruled out|excluded"
    r"|eliminated"
    r"|na[iï]ve|careless|hasty|slip|miscalculation|misreading|(?:(?<=an )|(?<=my )|(?<=common )|(?<=typical ))error"
    r"|(?:first|initial|original|earlier)\s+(?:guess|attempt|try|thought|idea)"
    rf"|{_BY_FAULT}"
    r"|rejected|discarded|out of the question|too\s+(?:large|small|big|high|low|many|few)"
    r"|(?:not|never)\b(?=\s*(?:[.,;!)]|$|(?:right|correct|so|true|possible|allowed|valid|what|it"
    r"|(?:a|an|the)\s+(?!mistake|error|typo|trap|coincidence|surprise|guess|accident|problem)\w+)\b))"
    r"|(?:what|number|value)[\w\s]{0,20}\b(?:in|by|from)?\s*the\s+(?:question|problem|exercise|prompt))"
    r"|(?:is|was|are|were)n't\b|(?:cannot|can't|could not|couldn't)\s+be(?=\s*(?:[.,;!)]|$|(?:right|correct|so"
    r"|true|it|the|an)\b))"
    r"|(?:does|do|did)(?:n't|\s+not)\s+(?:work|satisfy|fit|hold|solve|check|help|make sense|count(?=\s*(?:[.,;!)]|$)))"
    r"|fails?\b|contradicts?\b|leads? to a contradiction)"
    r"|\((?:wrong|incorrect|false|not\b)|[.,;]?\s*(?:just kidding|not!)"
    # Second thoughts, and another value given instead.
    r"|[\s.,;:–—-]*(?:no,?\s+)?(?:wait|scratch that|on second thought)\b[^\n]{0,80}"
    r"\b(?:wrong|incorrect|mistake|should be)\b"
    r"|[^.\n]{0,80}[.,;]?\s*\bI\s+(?:retract|withdraw|take\s+(?:it|that)\s+back)\b"
    r"|[^.\n]{0,60}\b(?:but|however,?)\s+(?:I|we)\s+(?:get|got|find|found|obtain)\s+\$?[-\d\\])",
    re.IGNORECASE,
)
_DENIED_INSIDE = re.compile(
    r"\b(?:not|never|neither|except|wrong|incorrect|anything but|other than)\b|n't\b", re.IGNORECASE
)
_ALL_BUT = re.compile(r"[\s$]*(?:\\text\{\s*)?all\s+(?:real|numbers|integers|values|complex|positive)\b", re.IGNORECASE)
_WORDS_ALONE = re.compile(r"(?:\\text\w*|\\mathrm|\\mathbf)?\W*[A-Za-z][A-Za-z\s'{}\\,.-]*")

_ALTERNATIVE = re.compile(
    r"[\s$.,;)\]*\\]*(?:\(?(?:or|either|maybe|perhaps|possibly|alternatively)\b|[/|](?![/|]))"
    r"|.*\b(?:could|might|may)\s+(?:also|as well|equally|instead)\b",
    re.IGNORECASE | re.DOTALL,
)
_NUMBERED = (
    r"\b(?:(?:option|answer|guess|candidate|possibility|alternative)\s*[#\s]*(?:\d|[ivab]\b|one|two|three)"
    r"|(?:first|second|third|other|another|alternative|next|my)\s+(?:\w+\s+)?(?:guess|answer|option|possibility"
    r"|candidate))"
)
_CONDITION = (
    r"(?:^|[.!?;]\s*|\botherwise\b\W*|\belse\b\W*)"
    r"(?:(?:if|when|for)\b[^.!?;]{1,60},[\s$\\(\[]*(?:(?:it|then|the answer|we)\b[^.,]{0,20})?"
    r"|(?:if|when)\b[^.!?;,]{1,40}\b(?:we\s+get|it\s+is|the\s+answer\s+is|you\s+get|one\s+gets)[\s$\\(\[]*)$"
)
_GUESS = re.compile(rf"{_NUMBERED}|{_CONDITION}|\botherwise\b|\belse\b", re.IGNORECASE)

_NUMERAL = r"[0-9]+(?:\.[0-9]+)?"
_OPERAND_BEFORE = re.compile(
    rf"(?:(?<![A-Za-z])[A-Za-z]\s*(?:<|>|\\n(?:e|eq)(?![a-z])|\\not\s*=|(?<=[xyz] )\\[lg](?:e|eq)(?![a-z]))\s*"
    rf"|\\pm\s*|±\s*|(?:{_NUMERAL}|[)}}])\s*[-+/]\s*|(?<=[=$(\[{{])\s*-\s*|(?<=\s)-|^-"
    rf"|(?:{_NUMERAL}|(?<![A-Za-z])[A-Za-z]|[)}}])\s*\\(?:cdot|times|div|pm)\s*"
    rf"|(?:(?<![A-Za-z])[A-Za-z]|{_NUMERAL}|[)}}])\s*\^\s*\{{?\s*|\\frac\{{[^{{}}]{{1,30}}\}}\{{\s*"
    rf"|\\sqrt(?:\[\w\])?\{{\s*"
    rf"|(?<![\w.]){_NUMERAL})$"
)
# A symbol after the box may be what its content is the coefficient of, so that only numbers and operators count.
_OPERAND_AFTER = re.compile(
    rf"\s*(?:\^\s*(?:\{{[^{{}}]{{1,20}}\}}|\w)|[-+/]\s*(?:{_NUMERAL}|\\[a-z]+|[A-Za-z](?![A-Za-z]))"
    rf"|\\(?:cdot|times|div|pm)(?![a-z])\s*(?:{_NUMERAL})?(?:\^\s*(?:\{{[^{{}}]{{1,20}}\}}|\w))?)"
    rf"|\.?[0-9]+"
)


def visible(text: str) -> str:
    """The text without comments, struck-out and invisible parts."""
    if "<!--" in text or "%" in text or "\\iffalse" in text:
        text = _COMMENT.sub(" ", text)
    if "~~" in text:
        text = _STRUCK_IN_MARKDOWN.sub(" ", text)
    kept, place = [], 0
    for match in list(_STRUCK.finditer(text))[-_STRUCK_OUT:]:
        closing = closing_brace(text, match.end(), 2_000) if match.start() >= place else None
        if closing is not None:
            kept.append(text[place : match.start()])
            place = closing + 1
    return "".join(kept) + text[place:] if kept else text


def taken_back(text: str, start: int, end: int) -> bool:
    """The words around text[start:end] deny it, only suppose it, or quote it from the question."""
    before = sentence_before(text, start)
    if _TAKEN_BACK_BEFORE.search(before) or _QUOTATION.search(before):
        return True
    if ("would" in before and _CONTRARY.search(before)) or ("first" in before and _AT_FIRST.search(before)):
        return True
    if any(stem in before for stem in _OTHERS_STEMS) and _BY_OTHERS.search(before):
        return True
    if any(word in before for word in _NAIVE_STEMS) and _NAIVE_BEFORE.search(before):
        return True
    return _TAKEN_BACK_AFTER.match(_squeezed(text[end : end + _REACH])) is not None


def denied_inside(content: str) -> bool:
    """The content of a box denies what it shows (`not 5`); words alone, such as `neither`, may be an answer."""
    if _ALL_BUT.match(content):
        return False
    return _DENIED_INSIDE.search(content) is not None and _WORDS_ALONE.fullmatch(content) is None


def alternatives(text: str, first: tuple[int, int], second: tuple[int, int]) -> bool:
    """The answers at these two places are offered as alternatives."""
    between = text[first[1] : second[0]]
    if len(between) > 2 * _REACH:
        return False
    if _ALTERNATIVE.match(between):
        return True
    return _GUESS.search(between) is not None and _GUESS.search(sentence_before(text, first[0])) is not None


def whole_formula(text: str, start: int, end: int, content: str) -> str | None:
    """The formula that the box at text[start:end] is an operand of, with its content in its place; None where the box
    stands for itself."""
    line = text[max(0, start - 60) : start].rpartition("\n")[2]
    before = _OPERAND_BEFORE.search(line)
    after = _OPERAND_AFTER.match(text[end : end + 60])
    if before is None and after is None:
        return None
    left, right = before[0] if before else "", after[0] if after else ""
    plain = re.fullmatch(r"[\w.]+", content.strip()) is not None
    inner = content.strip() if plain else f"({content.strip()})"
    closing = "}" * (left.count("{") - left.count("}"))
    return left + inner + closing + right


def sentence_before(text: str, start: int) -> str:
    """What precedes a place in its own sentence, at most a few hundred characters."""
    before = _squeezed(text[max(0, start - _REACH) : start])
    earlier = _SENTENCE_START.match(before)
    return before if earlier is None else before[earlier.end() :]


def _squeezed(window: str) -> str:
    return _SPACE_RUN.sub(lambda run: "\n" if "\n" in run[0] else " ", window)
