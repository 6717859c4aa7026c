# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What carries a log is learned from it: a prefix that nobody has named, and a log that came as one line.

Supervisors, log routers and people's own wrappers write what they like around each line
(``2025-11-22 11:50:13 | ERROR | stderr | ``). A line whose own beginning is certain, as a traceback's, shows what
stands before it; what most lines of the log have in that form comes off all of them.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence

#: Beginnings that are certain: nothing else of a line can stand before them.
_BEGIN = re.compile(
    r"Traceback \(most recent call last\):|docker: Error response|Error response from daemon:"
    r"|usage: (?:vllm|api_server)|(?:vllm(?: serve)?|api_server\.py): error: "
    r"|\((?:APIServer|EngineCore|Worker|VllmWorker|RayWorker|Api)\w*(?: [^()]{1,60})?\) "
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d(?::\d\d)?(?:[.,]\d+)? \[?\S+\.py:\d+\]"
    r"|INFO:     (?:Started server process|Waiting for application|Application |Uvicorn running|\S+:\d+ - \")"
)
_TOKEN = re.compile(r"\d+|[A-Za-z_][A-Za-z_0-9-]*|\s+|.")
#: Words that say how loud or from where a line came; they differ from line to line.
_VARIES = re.compile(
    r"(?:trace|debug|info|notice|warn|warning|error|critical|fatal|severe|stdout|stderr|out|err|unknown)$",
    re.IGNORECASE,
)
#: The last character of a prefix, blanks aside, when it holds no number.
_ENDS = "|>]):}=-\u2502\u2503"
#: What editors, ``cat -n`` and ``grep -n`` write before a line.
_NUMBER = re.compile(r"\s{0,7}(?P<number>\d{1,7})(?:[:|\t]\s?|\s|$)")
#: Longest prefix, and the share of lines that must have it.
_LONGEST, _SHARE = 160, 0.5


def learned(texts: Sequence[str]) -> re.Pattern[str] | None:
    """An expression for the prefix that at least half of these lines have, or None."""
    indented = os.path.commonprefix(texts)
    blanks = len(indented) - len(indented.lstrip())
    if blanks and any(_BEGIN.match(text, blanks) for text in texts):  # a log that somebody pasted indented
        return re.compile(re.escape(indented[:blanks]))
    if _numbered(texts):
        return _NUMBER
    found: dict[tuple[str, ...], list[list[str]]] = {}
    for text in texts:
        begin = _BEGIN.search(text[: _LONGEST + 40])
        if begin is None or not 0 < begin.start() <= _LONGEST:
            continue
        before = text[: begin.start()]
        if not before.strip() or (before.rstrip()[-1] not in _ENDS and not re.search(r"\d", before)):
            continue
        tokens = _TOKEN.findall(before)
        form = tuple(_form(token) for token in tokens)
        same = found.setdefault(form, [])
        if len(same) < 50:
            same.append(tokens)
    for form, seen in sorted(found.items(), key=lambda item: -len(item[1]))[:3]:
        pattern = _expression(form, seen)
        if pattern is None:
            continue
        fits = sum(1 for text in texts if pattern.match(text))
        if fits >= min(3, max(2, len(texts))) and fits >= len(texts) * _SHARE:
            return pattern
    return None


def _numbered(texts: Sequence[str]) -> bool:
    """Whether each line has a number, and most of them the one after the line's before."""
    numbers = [int(found["number"]) for text in texts if (found := _NUMBER.match(text))]
    follow = sum(1 for before, after in itertools.pairwise(numbers) if after == before + 1)
    return len(numbers) >= 4 and len(numbers) >= len(texts) * 0.9 and follow >= len(texts) * _SHARE


def _form(token: str) -> str:
    if token.isdigit():
        return "0"
    if token.isspace():
        return " "
    return "a" if token[0].isalpha() or token[0] == "_" else token


def _expression(form: Sequence[str], seen: Sequence[Sequence[str]]) -> re.Pattern[str] | None:
    """The prefix with what differs between lines left open; None when nothing in it is certain."""
    parts, certain = [], 0
    last = len(form) - 1
    for place, kind in enumerate(form):
        tokens = {tokens[place] for tokens in seen}
        if kind == "0":
            parts.append(r"\d+")
            certain += 1
        elif kind == " ":
            # What follows the prefix may be indented: its own last blank is taken as it is.
            parts.append(" ?" if place == last and tokens == {" "} else r"\s+" if place < last else r"\s")
        elif kind == "a":
            word = next(iter(tokens))
            if len(tokens) == 1 and not _VARIES.match(word):
                parts.append(re.escape(word))
                certain += len(word) > 1
            else:
                parts.append(r"[\w.-]+")
        else:
            parts.append(re.escape(kind))
            certain += kind in _ENDS
    return re.compile("".join(parts)) if certain >= 1 and len(form) > 1 else None


#: Narrowest and widest terminal, and how many lines have to run on behind its edge before that is believed.
_NARROW, _WIDE, _OVER_EDGE = 60, 400, 3
_ON_ITS_OWN = re.compile(r"\s*(?:File \"|Traceback|\+ )")


def rejoined(texts: Sequence[str]) -> Sequence[str]:
    """The lines of a log that somebody copied out of a terminal, which broke them at its edge.

    A line that fills the terminal goes on in the next one when that one has no beginning of its own, as most lines
    of the log have. Some terminals fill short lines with blanks.
    """
    width = max(map(len, texts), default=0)
    if not _NARROW <= width <= _WIDE:
        return texts
    edge = [len(text.rstrip()) >= width - 1 for text in texts]
    begins = [bool(_BEGIN.search(text[: _LONGEST // 2]) or _ON_ITS_OWN.match(text)) for text in texts]
    over = [full and bool(texts[at + 1].strip()) and not begins[at + 1] for at, full in enumerate(edge[:-1])]
    filled = sum(len(text) == width and text.endswith("  ") for text in texts) * 2 > len(texts)
    some = len({texts[at] for at, goes_on in enumerate(over) if goes_on})
    if some < (1 if filled else _OVER_EDGE) or sum(begins) * 5 < len(texts) * 2:
        return texts
    found: list[str] = []
    for at, text in enumerate(texts):
        if at and over[at - 1]:
            found[-1] += text
        else:
            found.append(text)
    return found


_LEVEL = r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d"
_PROCESS = r"(?:\(\w[\w -]*(?: \w+=\d+)* pid=\d+\)|\[rank ?\d+\]:)"
#: Where a line of a log that was joined into one begins again.
_AGAIN = re.compile(
    rf"(?<=\s)(?:(?=(?:{_PROCESS} )?{_LEVEL})"
    rf"|(?={_PROCESS} (?:Traceback|\s*File \"|Process |(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): ))"
    r"|(?=(?:INFO|ERROR|WARNING):     )|(?=Traceback \(most recent call last\):)|(?=Process [A-Z]\w*(?:-\d+)?:\s)"
    r"|(?=During handling of the above exception|The above exception was the direct)"
    r"|(?=File \"[^\"]+\", line \d+, in )"
    r"|(?=(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)(?:: | ?$)))"
)
_PREFIX = re.compile(rf"(?:{_PROCESS}\s*)?(?:{_LEVEL}[\d:.,]* \[?\S+\.py:\d+\])?")
_LEVELS = re.compile(rf"{_LEVEL}|Traceback \(most recent call last\):")
_FRAME = re.compile(r"(?<!\S)File \"[^\"]+\", line \d+, in ")
_ESCAPED = re.compile(r"(?:\\r)?\\n")


#: A request that vLLM logs holds whatever somebody asks.
_REQUEST = re.compile(r"[Rr]equest|prompt|messages")


def unfolded(text: str, alone: bool = False) -> Iterator[str]:
    """The lines of a log, or of a traceback, that came as one line; any other line as it is.

    A request that somebody pasted a traceback into stays one line: what vLLM logs of it begins with its own level.

    :param alone: there is no other line, so that it is rather a whole log than one line of it
    """
    if len(text) < 120 or ("Traceback (most" not in text and text.count(".py:") < 3) or not _is_folded(text, alone):
        yield text
        return
    if len(_ESCAPED.findall(text)) >= 3:
        text = text[1:-1] if text[:1] + text[-1:] in {'""', "''"} else text
        for line in _ESCAPED.split(text):
            yield line.replace("\\t", "\t").replace('\\"', '"')
        return
    begin = 0
    frames = False
    for found in _AGAIN.finditer(text):
        line = text[begin : found.start()].rstrip()
        if _PREFIX.fullmatch(line):
            continue  # a line's own prefix is no line
        if line:
            yield from _indented(line, frames)
            frames = frames and not _ends(line) or line.endswith("(most recent call last):")
        begin = found.start()
    yield from _indented(text[begin:].rstrip(), frames)


def _ends(line: str) -> bool:
    return not line.startswith("File ") and not line.endswith("(most recent call last):")


def _indented(line: str, frames: bool) -> Iterator[str]:
    """A frame as Python writes it, its code on a line of its own."""
    found = _FRAME.match(line) if frames or line.startswith("File ") else None
    if found is None:
        yield line
        return
    name, _blank, code = line[found.end() :].partition(" ")
    yield f"  {line[: found.end()]}{name}"
    if code:
        yield f"    {code}"


def _is_folded(text: str, alone: bool) -> bool:
    levels = _LEVELS.findall(text)
    own = _LEVELS.match(text) or _BEGIN.match(text)
    if own and own[0].startswith(("INFO", "DEBUG")) and len(levels) < 4 and (not alone or _REQUEST.search(text)):
        return False
    return len(levels) >= 3 or (
        any(item.startswith("Traceback") for item in levels) and len(_FRAME.findall(text.replace("\\n", " "))) >= 1
    )
