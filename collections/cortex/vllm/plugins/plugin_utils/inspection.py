# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What an image is asked, when, and what comes of it. An image is asked once; its host keeps the answers by image id.

Nothing is asked of an image that says its release and whose release the catalogue has: most never are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import catalog
from .catalog import inside
from .following import SLICE, Remote
from .observation import SCHEMA, Observation
from .rendering.images import ImageFacts, image_facts

#: Seconds that an image may take: importing vLLM takes 10 to 60 on a healthy host.
LIMIT = 300.0


@dataclasses.dataclass(frozen=True)
class Look:
    """One thing to ask one image.

    :ivar ref: the image as it was declared
    :ivar image_id: the image that would run
    :ivar version: the declared release of vLLM
    :ivar argv: command line to be proven; None asks for what the image is
    :ivar program: ``serve`` or ``api_server``, with ``argv``
    :ivar model: what is asked about a model, as canonical JSON (:func:`model_question`)
    :ivar plugins: asks for what plugs into vLLM
    :ivar packages: asks which Transformers and torch are installed
    """

    ref: str
    image_id: str
    version: str | None = None
    argv: tuple[str, ...] | None = None
    program: str = "serve"
    model: str | None = None
    plugins: bool = False
    packages: bool = False


def question(image: ImageFacts) -> str | None:
    """``version`` or ``parser`` when the image has to be asked for it, else None."""
    if image.version_source in {"tag", "none"} and "version_problem" not in image.known:
        return "version"
    if image.version is None or catalog.harvested(image.version) or image.parser is not None:
        return None
    return None if "parser_problem" in image.known else "parser"


def proof_key(argv: Sequence[str], program: str) -> str:
    """The hash by which a host remembers that an image's parser was given a command line."""
    return hashlib.sha256(json.dumps([program, list(argv)], separators=(",", ":")).encode()).hexdigest()


def look(
    remote: Remote,
    state_dir: str,
    ref: str,
    entry: dict[str, Any],
    declared_version: str | None = None,
    *,
    parser: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> ImageFacts:
    """Ask an image for all that is missing, and put it into its entry of the observation.

    An image that cannot be asked is no error: what is known of it stays uncertain, and findings say so and why.

    :param entry: ``images[ref]`` of an observation; its ``known`` is brought up to date
    :param parser: ask for the parser of a catalogued release too
    """
    asked: set[str] = set()
    while True:
        facts = image_facts(ref, entry, declared_version)
        wanted = question(facts)
        keep = wanted is not None
        if wanted is None and parser and facts.parser is None and "parser_problem" not in facts.known:
            wanted = "parser"
        if wanted is None or wanted in asked:
            return facts
        asked.add(wanted)
        answer, why = ask(remote, state_dir, ref, entry, wanted, inside.script(wanted), keep=keep, clock=clock)
        known = dict(entry.get("known") or {})
        if answer is None or answer.get("problem"):
            known[f"{wanted}_problem"] = str((answer or {}).get("problem") or why or "it gave no answer")
        elif wanted == "version":
            known.update(vllm_version=answer.get("version"), source=answer.get("source"))
        else:
            known["parser"] = answer
        entry["known"] = known


def answered(
    remote: Remote,
    state_dir: str,
    seen: Observation,
    looks: Sequence[Look],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Observation:
    """Ask images all that a plan wants to know of them.

    :returns: the observation with the answers, as if the host had known them before
    """
    for wanted in looks:
        entry = next((dict(item) for item in seen.images.values() if item and item.get("id") == wanted.image_id), None)
        if entry is None:
            continue
        if wanted.plugins or wanted.packages:
            kind = "plugins" if wanted.plugins else "packages"
            ask_installed(remote, state_dir, wanted.ref, entry, kind, clock=clock)
        elif wanted.model is not None:
            prove_model(remote, state_dir, wanted.ref, entry, wanted.model, clock=clock)
        elif wanted.argv is None:
            look(remote, state_dir, wanted.ref, entry, wanted.version, clock=clock)
        else:
            prove(remote, state_dir, wanted.ref, entry, wanted.argv, wanted.program, clock=clock)
        images = {
            name: {**item, "known": entry.get("known")} if item and item.get("id") == wanted.image_id else item
            for name, item in seen.images.items()
        }
        seen = dataclasses.replace(seen, images=images)
    return seen


def prove(
    remote: Remote,
    state_dir: str,
    ref: str,
    entry: dict[str, Any],
    argv: Sequence[str],
    program: str,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let the image's own parser read a command line, and put its verdict into ``known`` of the entry.

    :param program: ``serve`` or ``api_server``
    """
    key = proof_key(argv, program)
    known = dict(entry.get("known") or {})
    try:
        text = inside.script("argv", argv=list(argv), program=program)
    except ValueError as problem:
        answer, why = None, str(problem)
    else:
        answer, why = ask(remote, state_dir, ref, entry, f"argv-{key}", text, clock=clock)
    if answer is None or answer.get("problem"):
        problem_text = str((answer or {}).get("problem") or why or "it gave no answer")
        known["unproven"] = {**(known.get("unproven") or {}), key: problem_text}
    else:
        known["proved"] = {**(known.get("proved") or {}), key: answer.get("error")}
    entry["known"] = known


def ask_installed(
    remote: Remote,
    state_dir: str,
    ref: str,
    entry: dict[str, Any],
    kind: str,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask what is installed beside vLLM (``plugins`` or ``packages``), and put it into ``known`` of the entry."""
    answer, why = ask(remote, state_dir, ref, entry, kind, inside.script(kind), clock=clock)
    known = dict(entry.get("known") or {})
    if answer is None or answer.get("problem"):
        known[f"{kind}_problem"] = str((answer or {}).get("problem") or why or "it gave no answer")
    else:
        known[kind] = answer.get(kind) or ([] if kind == "plugins" else {})
    entry["known"] = known


def model_key(asked: str) -> str:
    """The hash by which a host remembers that an image loaded what belongs to a model."""
    return hashlib.sha256(asked.encode()).hexdigest()


def prove_model(
    remote: Remote,
    state_dir: str,
    ref: str,
    entry: dict[str, Any],
    asked: str,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let the image load configuration and tokenizer, and put what it says into ``known`` of the entry.

    :param asked: canonical JSON of ``question``, ``wants`` and what identifies the files
    """
    wanted, key, known = json.loads(asked), model_key(asked), dict(entry.get("known") or {})
    script = inside.script("model", **wanted["question"])
    more = {"wants": wanted["wants"]}
    answer, why = ask(remote, state_dir, ref, entry, f"model-{key}", script, clock=clock, more=more)
    if answer is None or answer.get("problem"):
        problem = str((answer or {}).get("problem") or why or "it gave no answer")
        known["unproven"] = {**(known.get("unproven") or {}), key: problem}
    else:
        said = answer.get("error")
        text = f"{answer['step']}: {said}" if said and answer.get("step") else said
        known["models"] = {**(known.get("models") or {}), key: text}
    entry["known"] = known


def ask(
    remote: Remote,
    state_dir: str,
    ref: str,
    entry: Mapping[str, Any],
    key: str,
    script: str,
    *,
    keep: bool = True,
    limit: float = LIMIT,
    more: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[dict[str, Any] | None, str]:
    """Step ``image`` in slices, with its progress.

    :param keep: whether observations of the image carry what comes of it from now on
    :param limit: seconds that it may take
    :param more: further keys of the request
    :returns: the answer, or None and why there is none
    :raises following.Lost: and ``RemoteError``, as any step
    """
    request: dict[str, Any] = {
        "schema": SCHEMA,
        "state_dir": state_dir,
        "image": str(entry.get("id") or ref),
        "key": key,
        "script": script,
        "keep": keep,
        "limit": limit,
        "budget": SLICE,
        **(more or {}),
    }
    what = {
        "version": "which vLLM it has",
        "parser": "for its arguments",
        "plugins": "for its plugins",
        "packages": "which Transformers it has",
        "model": "to load configuration and tokenizer",
        "collective": "to sum over its GPUs",
        "toolkit": "whether it gets the GPUs",
    }.get(key.partition("-")[0], "whether it takes these arguments")
    begin, said = clock(), False
    while True:
        answer = remote("image", request)
        if answer.get("done"):
            if said:
                remote.say(f"[{remote.host}] image {ref}: answered after {float(answer.get('seconds') or 0):.0f} s")
            found = answer.get("answer")
            return (dict(found) if isinstance(found, Mapping) else None), str(answer.get("message") or "")
        if answer.get("look"):
            request["look"] = answer["look"]
        waited = clock() - begin
        if waited > limit + 60:  # the job ends itself before that
            return None, f"it was asked for {waited:.0f} s"
        remote.say(f"[{remote.host}] image {ref}: asked {what}, {float(answer.get('seconds') or 0):.0f} s")
        said = True
