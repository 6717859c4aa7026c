# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job that was killed leaves in a bundle."""

from __future__ import annotations

import hashlib
import os

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import bundles, hashing, longjob


class Killed(BaseException):
    """What ends a process without a word."""


def take_in(top, source, note):
    request = {"bundle": str(top)}
    packing = bundles._Packing(request, {}, note)
    packing._copy({"key": "org/m config.json", "from": str(source), "blob": None, "size": source.stat().st_size})


def test_what_was_taken_in_halfway_is_written_over(tmp_path, monkeypatch):
    source, top = tmp_path / "config.json", tmp_path / "bundle"
    source.write_bytes(b"{}" * 1000)
    (top / "blobs").mkdir(parents=True)
    note = longjob.Note(str(tmp_path / "note.json"), "j1")

    # Killed in the middle: nothing is tidied up, as by SIGKILL.
    def halfway(place, path, hashes, add=None, mode=0o644):
        hashing.write([b"{}"], path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(hashing, "copy", halfway)
        patch.setattr(os, "unlink", lambda path: None)
        with pytest.raises(Killed):
            take_in(top, source, note)
    assert len(list((top / "blobs").iterdir())) == 1

    # The next job has another process id.
    monkeypatch.setattr(os, "getpid", lambda: 4242)
    take_in(top, source, note)
    assert [path.name for path in (top / "blobs").iterdir()] == [hashlib.sha256(source.read_bytes()).hexdigest()]
