"""What in a text a judge's server would read as a control token of its own, broken up so that it stays text.

A server parses the control tokens of its model out of any message, so a candidate could end its own turn and speak as
somebody else. In process that cannot happen (`rewright.service.models.control_tokens`). For a server a space inside the
mark does the same: the judge still reads it, and the tokenizer finds no token.

Promises: `unmarked` breaks up every spelling of the kinds that chat templates write, whatever the family; the marks of
a named tokenizer are broken up to the letter by `ControlTokens.broken`, and nothing else. Ordinary text, formulas and
the usual HTML elements stay as they are. Linear in the length of the text.

Not covered: marks that are plain words ("### Instruction:"), which no tokenizer treats apart.
"""

import re
from collections.abc import Callable
from pathlib import Path

_HTML = (
    "a|abbr|article|aside|b|big|blockquote|body|br|caption|center|cite|code|dd|del|details|dfn|div|dl|dt|em|figure|"
    "font|footer|h[1-6]|head|header|hr|html|i|img|ins|kbd|li|main|mark|math|mfrac|mi|mn|mo|mrow|msqrt|msub|msup|nav|"
    "ol|p|pre|q|section|small|span|strike|strong|style|sub|summary|sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|"
    "var"
)
_IN_BRACKETS = (
    "INST|SYS|RESP|ARGS|IMG|CLS|SEP|PAD|UNK|BOS|EOS|MASK|gMASK|sMASK|THINK|AUDIO|IMAGE|PREFIX|SUFFIX|MIDDLE|"
    r"[A-Z]{2,24}(?:_[A-Z]{2,24}){1,4}"
)
_MARK = re.compile(
    r"<(?=[|｜][^|｜<>]{1,64}[|｜]?>)"  # <|im_end|>, <｜User｜>, <|turn>
    r"|<(?=[^\W\d][^\s<>|｜]{0,62}[|｜]>)"  # <turn|>
    r"|<(?=/?<?/?[A-Za-z_]{1,24}>>)"  # <<SYS>>
    # A name of more than one letter: <start_of_turn>, </think>, <seed:bos>, <用户>. `x<y>z` is a formula.
    rf"|<(?=/?(?!(?:{_HTML})>)(?:s|[^\W\d][\w▁:.\-]{{1,62}})>)"
    r"|<(?=\][^\W\d]\w{0,30}\[>)"  # <]image[>
    rf"|\[(?=/?(?:{_IN_BRACKETS})\])"  # [INST]; [ABC] may be an area
    r"|\](?=~!?[a-z]{1,8}[\[\]])"  # ]~b]
    r"|\[(?=[a-z]~\[)"  # [e~[
)


def unmarked(text: str) -> str:
    """The text with a space behind the first character of whatever looks like a mark."""
    return _MARK.sub(lambda match: match[0] + " ", text)


def breaker_of(tokenizer: str) -> Callable[[str], str]:
    """What breaks up the control tokens of a model's tokenizer and those added ones that its chat template writes.

    tokenizer: hub name, folder, `.gguf` file or `embedded`. Raises `SettingsError` where it cannot be had.
    """
    from rewright.service.models.backbone import load_tokenizer
    from rewright.service.models.control_tokens import ControlTokens
    from rewright.service.models.locating import Located, locate

    setting = "scorers.judge.tokenizer"
    # A folder may hold the tokenizer alone.
    alone = Located(tokenizer, tokenizer, None) if Path(tokenizer).is_dir() else locate(tokenizer, setting=setting)
    loaded = load_tokenizer(alone, setting=setting)
    return ControlTokens(loaded.backend_tokenizer, written=str(loaded.chat_template)).broken
