"""JSON as rows: one object a line, an array, or objects one after the other; read piece by piece, never whole.

Promises: an error names the line or row and what to do; text that is not UTF-8 is named with its byte; a byte order
mark of UTF-8 is passed over. A list that stands in an array where an object should (rows of Open-Reasoner-Zero) is a
row whose columns are `0`, `1`, ….
"""

import codecs
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from rewright.service.errors import InvalidRequest

LONGEST_LINE = 1 << 26
"""Bytes; a longer line is no row but a file without line ends."""
_CHUNK = 1 << 20
_OTHER_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\x00")
_WRAPPERS = ("data", "rows", "examples", "items", "instances", "samples", "train")
_BETWEEN = " \t\r\n,"


class UnreadableData(InvalidRequest):
    """A file, folder or data set that cannot be read as rows; the message names the place and the fix."""


def lines_of(stream: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number from 1. Raises `UnreadableData` for what is no UTF-8."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if len(line) == LONGEST_LINE:
            raise UnreadableData(f"{name}, line {number}: longer than {LONGEST_LINE >> 20} MiB; write one row a line")
        if content.strip():
            yield number, _decoded(content, f"{name}, line {number}")


def lined_rows(stream: BinaryIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON lines: (place, row)."""
    for number, line in lines_of(stream, name):
        place = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UnreadableData(f"{place}: no JSON ({_said(error)}); write one object per line") from None
        if not isinstance(row, dict):
            raise UnreadableData(f"{place}: no JSON object; write one object per line")
        yield place, row


def json_rows(opened: Callable[[], BinaryIO], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A `.json` file, whichever of the three it is: (place, row). opened: opens it at its beginning; asked twice."""
    with opened() as stream:
        beginning = stream.read(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    if beginning.startswith(b"{") and b"\n" in beginning and _is_whole(beginning.partition(b"\n")[0]):
        with opened() as stream:
            yield from lined_rows(stream, name)
        return
    if beginning.startswith(_OTHER_ENCODINGS) or b"\x00" in beginning[:8]:
        _decoded(beginning, name)
    with opened() as stream:
        yield from _members(stream, name)


def _members(stream: BinaryIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    values = _values(stream, name)
    first, second = next(values, None), next(values, None)
    if second is None and isinstance(first, dict) and (inside := _list_within(first)) is not None:
        first, values = None, iter(inside)
    whole = itertools.chain((value for value in (first, second) if value is not None), values)
    for number, value in enumerate(whole, start=1):
        place = f"{name}, row {number}"
        row = {str(index): member for index, member in enumerate(value)} if isinstance(value, list) else value
        if not isinstance(row, dict):
            raise UnreadableData(f"{place}: no JSON object; write an array of objects")
        yield place, row


def _values(stream: BinaryIO, name: str) -> Iterator[Any]:
    """The members of an array, or values that stand one after the other."""
    decoder = json.JSONDecoder()
    text, at, more = "", 0, True
    utf8 = codecs.getincrementaldecoder("utf-8-sig")()
    read = 0
    inside = started = False
    while True:
        while at < len(text) and text[at] in _BETWEEN:
            at += 1
        if at < len(text) and not started:
            started, inside = True, text[at] == "["
            at += inside
            continue
        if at < len(text) and inside and text[at] == "]":
            return
        try:
            if at == len(text):
                raise ValueError("the file ends before its array does")
            value, at = decoder.raw_decode(text, at)
            yield value
            continue
        except RecursionError:
            raise UnreadableData(f"{name}: lists within lists within lists; write one object per row") from None
        except ValueError as error:
            if not more:
                if at == len(text) and not inside:
                    return
                raise UnreadableData(
                    f"{name}: no JSON ({_said(error)}); write an array, or one object per line"
                ) from None
        # What is left of the text is a torn value, or the file's end: as much again is read, so that cost is linear.
        chunk = stream.read(max(_CHUNK, len(text) - at))
        more = bool(chunk)
        try:
            text, at = text[at:] + utf8.decode(chunk, final=not more), 0
        except UnicodeDecodeError as error:
            raise UnreadableData(
                f"{name}: byte {read + error.start + 1} is not UTF-8; save the file as UTF-8"
            ) from None
        read += len(chunk)
        if len(text) > LONGEST_LINE:
            raise UnreadableData(f"{name}: a row longer than {LONGEST_LINE >> 20} MiB; is it one object of columns?")


def _list_within(value: dict[str, Any]) -> list[Any] | None:
    """The rows of `{"version": …, "data": [{…}, …]}`: files that keep their array under such a name."""
    lists = [value[name] for name in _WRAPPERS if isinstance(value.get(name), list)]
    return lists[0] if len(lists) == 1 and lists[0] and all(isinstance(row, dict) for row in lists[0]) else None


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(line: bytes, place: str) -> str:
    if line.startswith(_OTHER_ENCODINGS) or b"\x00" in line[:8]:
        raise UnreadableData(
            f"{place}: this is UTF-16 or UTF-32, or no text at all; save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)"
        )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UnreadableData(f"{place}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None


def _said(error: Exception) -> str:
    return "too deep" if isinstance(error, RecursionError) else str(error)
