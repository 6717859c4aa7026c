# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two sides of an air gap on one machine: caches as the Hub's client writes them, playbooks, images of one's own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import random
import struct
import tarfile
import time
import uuid

from hands import PREFIX

import plays

COMMIT, OLDER = "a" * 39 + "1", "b" * 39 + "2"


def blob_name(content, large):
    """The etag that the Hub gives a file: sha256 of what is in LFS, git's sha1 of the rest."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def safetensors(size, seed=1):
    """A sound file of one tensor with ``size`` bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(size)


def model_files(size=300_000, seed=1):
    """A repository as people upload them: what a server reads, and what it does not."""
    return {
        "config.json": b'{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}',
        "tokenizer.json": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
        "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
        "model.safetensors": safetensors(size, seed),
        "pytorch_model.bin": b"PK" + random.Random(seed + 1).randbytes(size),
        "onnx/model.onnx": random.Random(seed + 2).randbytes(1000),
        "2_Dense/pytorch_model.bin": b"PK" + random.Random(seed + 3).randbytes(2000),
    }


def write_cache(cache, model, files, commit=COMMIT, refs=("main",)):
    """A repository in a cache, linked as huggingface_hub does it."""
    folder = pathlib.Path(cache) / ("models--" + model.replace("/", "--"))
    for name, content in files.items():
        blob = folder / "blobs" / blob_name(content, name.endswith((".safetensors", ".bin", ".onnx")))
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        pointer = folder / "snapshots" / commit / name
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    for ref in refs:
        path = folder / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return folder


def tree(top):
    """What lies below a directory: links with their targets, files with their content."""
    top = pathlib.Path(top)
    return {
        str(path.relative_to(top)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


class Site(plays.Target):
    """Runs tasks and playbooks of the collection against this machine as host ``here``."""

    def __init__(self, folder, connection="local", **variables):
        self.folder, self.connection = pathlib.Path(folder), connection
        self.folder.mkdir(parents=True, exist_ok=True)
        self.directory = self.folder / "runs"
        self.state = self.folder / "state"
        self.variables = {"vllm_state_dir": str(self.state), **variables}
        self.settings = {"ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp")}

    def inventory(self):
        here = {
            "ansible_connection": self.connection, "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_host": "127.0.0.1", **self.variables,
        }  # fmt: skip
        return {"vllm": {"hosts": {"here": here}}}

    def begin(self, playbook, *arguments):
        self.running = super().begin(playbook, *arguments)
        return self.running

    def play(self, playbook, *arguments, expect=0):
        """Run a playbook to its end; ``expect``: its status."""
        outcome = super().play(playbook, *arguments)
        assert expect is None or outcome.code == expect, outcome.text
        return outcome

    def book(self, **tasks):
        """A playbook with these tasks: name of the action to its options."""
        body = []
        for name, options in tasks.items():
            given = {key: value for key, value in options.items() if key != "_ignore" and value is not None}
            task = {"name": name, f"cortex.vllm.{name.partition('-')[0]}": {"state_dir": str(self.state), **given}}
            body.append({**task, "ignore_errors": True} if options.get("_ignore") else task)
        path = self.folder / f"book-{uuid.uuid4().hex[:6]}.json"
        path.write_text(json.dumps([{"hosts": "vllm", "gather_facts": False, "tasks": body}]))
        return path

    def task(self, name, *arguments, expect=0, **options):
        """Run one task; returns its result, or the outcome when it has to fail."""
        outcome = self.play(self.book(**{name: options}), *arguments, expect=expect)
        return outcome.last if expect == 0 else outcome

    def interrupt(self, playbook, when, limit=60):
        """Begin a playbook and kill it as soon as ``when()``."""
        running = self.begin(playbook)
        until = time.monotonic() + limit
        while not when():
            assert running.process.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < until
            time.sleep(0.02)
        running.kill()

    def puts(self):
        """Files that crossed the connection in the run under way."""
        return sum(1 for call in self.running.calls if call["kind"] == "put")


class Images:
    """Images of this test run on the shared engine; all of them are removed at the end."""

    def __init__(self, docker):
        self.docker, self.names, self.ids = docker, [], []

    def make(self, size=200_000, changes=()):
        """An image of random content; returns ``(name, id)``."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = size
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
        name = f"local/{PREFIX}{uuid.uuid4().hex[:8]}"
        self.docker.call("POST", f"/images/create?fromSrc=-&repo={name}&tag=1", raw=buffer.getvalue())
        ident = self.id(f"{name}:1")
        self.names.append(name)
        self.ids.append(ident)
        return f"{name}:1", ident

    def id(self, ref):
        found = self.docker.get(f"/images/{ref}/json")
        return found["Id"] if found else None

    def tags(self, ident):
        return sorted((self.docker.get(f"/images/{ident}/json") or {}).get("RepoTags") or [])

    def remove(self, ref):
        self.docker.call("DELETE", f"/images/{ref}?force=1")

    def clean(self):
        for ident in self.ids:
            self.remove(ident)
