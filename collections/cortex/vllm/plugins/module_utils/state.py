# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""What a host remembers of a server: ``<state_dir>/<server>/state.json``, and ``images.json`` for all of them."""

from __future__ import annotations

import errno
import hashlib
import json
import os

from ansible_collections.cortex.vllm.plugins.module_utils import files, locks

SCHEMA = 1
HISTORY = 10
# Two states (declaration and body of a large server: some ten KiB each) and the rest of a journal.
RESERVE = 256 * 1024
# Command lines of an image that are remembered as proven.
PROOFS = 50


def server_dir(state_dir, server):
    return os.path.join(state_dir, server)


def _path(state_dir, server):
    return os.path.join(state_dir, server, "state.json")


def empty(server):
    """The state of a server nothing is known of."""
    return {"schema": SCHEMA, "server": server, "committed": None, "transaction": None, "history": []}


def load(state_dir, server):
    """``(state or None, sha256 of the file or "", problem or None)``; never raises."""
    path = _path(state_dir, server)
    try:
        with open(path, "rb") as stream:
            raw = stream.read()
    except FileNotFoundError:
        return None, "", None
    except OSError as exc:
        return None, "", "cannot read {0}: {1}".format(path, exc.strerror)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        state = json.loads(raw.decode("utf-8"))
        if not isinstance(state, dict):
            raise ValueError("not an object")
    except ValueError as exc:
        return None, digest, "{0} is damaged ({1}); remove it and the server is taken on afresh".format(path, exc)
    if state.get("schema") != SCHEMA:
        return (
            None,
            digest,
            "{0} has schema {1}, this collection knows {2}; use the collection that wrote it".format(
                path, state.get("schema"), SCHEMA
            ),
        )
    return state, digest, None


def save(state_dir, server, state):
    """Replace the state atomically; a full disk first costs the reserve. Raises `OSError`."""
    files.directory(server_dir(state_dir, server), 0o711)
    content = json.dumps(state, sort_keys=True, separators=(",", ":")).encode("utf-8")
    try:
        files.write_atomic(_path(state_dir, server), content, 0o600)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT) or not release(state_dir, server):
            raise
        files.write_atomic(_path(state_dir, server), content, 0o600)


def reserve(state_dir, server):
    """Set space aside for what must still be written once a server has been stopped. Raises `OSError`."""
    path = os.path.join(server_dir(state_dir, server), "reserve")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, RESERVE)
    except OSError as exc:
        os.unlink(path)
        if exc.errno != errno.EOPNOTSUPP:
            raise
    finally:
        os.close(fd)


def release(state_dir, server):
    """Give the reserve up; whether there was one."""
    try:
        os.unlink(os.path.join(server_dir(state_dir, server), "reserve"))
        return True
    except OSError:
        return False


def load_images(state_dir):
    """``{image id: {vllm_version, source}}`` as noted by earlier runs; empty when there is none."""
    return files.read_json(os.path.join(state_dir, "images.json")) or {}


def note_images(state_dir, facts):
    """Add what is known of images: ``{image id: {fact: value}}``, each into the entry that is there. Raises `OSError`.

    Proofs of command lines are kept by hash, the last fifty of an image.
    """
    with locks.Lock(state_dir, "images").acquire(10.0):
        known = load_images(state_dir)
        merged = dict(known)
        for ident, added in facts.items():
            entry = dict(merged.get(ident) or {}, **added)
            for kind in ("proved", "models", "toolkit"):
                if kind in added:
                    proved = dict((merged.get(ident) or {}).get(kind) or {})
                    for digest in added[kind]:
                        proved.pop(digest, None)
                    proved.update(added[kind])
                    entry[kind] = dict(list(proved.items())[-PROOFS:])
            merged[ident] = entry
        if merged != known:
            content = json.dumps(merged, indent=1).encode("utf-8")
            files.write_atomic(os.path.join(state_dir, "images.json"), content, 0o644)


def note_origin(state_dir, ident, digests, archive):
    """Remember which digests of registries stand for an image, and from which file it was loaded (its sha256).

    An image that was loaded from a file has no digest any more: its manifest stayed in the registry. What is declared
    by digest is found again by this map.
    """
    with locks.Lock(state_dir, "origins").acquire(10.0):
        entry = load_images(state_dir).get(ident) or {}
        wanted = {
            "digests": sorted(set(entry.get("digests") or []) | set(digests)),
            "archives": sorted(set(entry.get("archives") or []) | {archive}),
        }
        if any(entry.get(name) != value for name, value in wanted.items()):
            note_images(state_dir, {ident: wanted})


def by_digest(known, ref):
    """The id of the image that a reference with a digest stands for, by the map of `note_origin`; or None."""
    if "@" not in ref:
        return None
    for ident, facts in known.items():
        if isinstance(facts, dict) and plain_digest(ref) in [plain_digest(name) for name in facts.get("digests") or []]:
            return ident
    return None


def plain_digest(ref):
    """``repository@digest`` without a tag and without the words that Docker adds to short names."""
    name, dummy, digest = ref.partition("@")
    head, slash, last = name.rpartition("/")
    return plain_name(head + slash + last.partition(":")[0]) + "@" + digest


def plain_name(ref):
    """A name of an image without the words that some programs add to short ones."""
    for words in ("docker.io/library/", "docker.io/", "index.docker.io/"):
        if ref.startswith(words):
            ref = ref[len(words) :]
    return ref


def known_image(state_dir, known):
    """An image's entry of `load_images` as an observation carries it: with its parser, where it was asked for it."""
    if not isinstance(known, dict) or not known.get("parser"):
        return known
    try:
        with open(os.path.join(state_dir, "images", str(known["parser"]) + ".json"), "rb") as stream:
            answer = json.loads(stream.read().decode("utf-8"))["answer"]
    except (OSError, ValueError, KeyError, TypeError):
        answer = None  # it is asked again
    return dict(known, parser=answer)
