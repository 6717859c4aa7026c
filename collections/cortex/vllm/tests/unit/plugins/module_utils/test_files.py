# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files are whole or not there; generations never change; locks, state and journals live on them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import files, journal, locks, state, watch
from ansible_collections.cortex.vllm.plugins.module_utils.redact import MASK, Redactor

ME = {"uid": os.getuid(), "gid": os.getgid()}


def test_an_atomic_write_replaces_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    files.write_atomic(str(path), b"one")
    assert path.read_bytes() == b"one" and path.stat().st_mode & 0o777 == 0o600

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError):
        files.write_atomic(str(path), b"two")
    monkeypatch.undo()
    assert path.read_bytes() == b"one" and [p.name for p in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "code, advice",
    [(errno.ENOSPC, "Free some space"), (errno.EACCES, "become: true"), (errno.EROFS, "writable"), (errno.EIO, "")],
)
def test_write_errors_say_what_to_do(code, advice):
    text = files.explain(OSError(code, os.strerror(code)), "/x/y")
    assert "/x/y" in text and os.strerror(code) in text and advice in text


@pytest.mark.parametrize("name", ["chat", "a.b-c_1", "X" * 128])
def test_good_names(name):
    assert files.safe_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "X" * 129, None, 3, "x\n", "-x"])
def test_bad_names(name):
    assert not files.safe_name(name)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".", "a/../../x", ""])
def test_paths_of_a_generation_stay_in_it(path):
    with pytest.raises(files.FilesError):
        files.relative(path)


def test_directories_lie_below_the_state_directory(tmp_path):
    root = tmp_path / "state"
    root.mkdir()
    assert files.below(str(root), str(root / "a" / "b")) == str(root / "a" / "b")
    (root / "link").symlink_to("/etc")
    for path in ("/etc/x", str(root), str(root) + "/../x", str(root / "link" / "x")):
        with pytest.raises(files.FilesError):
            files.below(str(root), path)


def generation(folder, content="a", name="g1", **secrets):
    given = [{"path": "launch.sh", "mode": "0555", "content": content}, {"path": "sub/x", "content": "é"}]
    return files.write_generation(str(folder), name, given, secrets, ME, "stamp")


def test_a_generation_is_written_once(tmp_path):
    path = generation(tmp_path, KEY="secret")
    assert os.stat(path + "/launch.sh").st_mode & 0o777 == 0o555
    assert os.stat(path + "/secrets").st_mode & 0o777 == 0o500
    assert os.stat(path + "/secrets/KEY").st_mode & 0o777 == 0o400
    assert files.secret(path, "KEY") == "secret" and files.secrets(path) == ["secret"]
    inode = os.stat(path).st_ino
    assert generation(tmp_path, KEY="secret") == path and os.stat(path).st_ino == inode


def test_an_edited_generation_is_moved_aside(tmp_path):
    path = generation(tmp_path)
    inode = os.stat(path).st_ino
    generation(tmp_path, content="b")
    assert os.stat(path).st_ino != inode
    aside = [name for name in os.listdir(str(tmp_path / "generations")) if name.startswith(".replaced")]
    assert len(aside) == 1  # a container that runs with it still has it
    files.prune_generations(str(tmp_path), {"g1"})
    assert os.listdir(str(tmp_path / "generations")) == ["g1"]


def test_a_generation_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    real = os.write

    def full(fd, data):
        if b"late" in bytes(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError):
        generation(tmp_path, KEY="late")
    assert os.listdir(str(tmp_path / "generations")) == []


@pytest.mark.parametrize("name", ["../../etc/shadow", "", None, "a/b"])
def test_secrets_are_read_by_plain_names_only(tmp_path, name):
    assert files.secret(str(tmp_path), name) is None


def test_state_says_what_is_wrong_with_it(tmp_path):
    assert state.load(str(tmp_path), "chat") == (None, "", None)
    state.save(str(tmp_path), "chat", state.empty("chat"))
    found, digest, problem = state.load(str(tmp_path), "chat")
    assert found["committed"] is None and len(digest) == 64 and problem is None
    path = tmp_path / "chat" / "state.json"
    for content, word in ((b"\xff", "damaged"), (b"[]", "damaged"), (b'{"schema": 9}', "schema 9")):
        path.write_bytes(content)
        found, digest, problem = state.load(str(tmp_path), "chat")
        assert found is None and digest and word in problem


def test_images_are_merged(tmp_path):
    assert state.load_images(str(tmp_path)) == {}
    state.note_images(str(tmp_path), {"sha256:a": {"vllm_version": "0.32.0"}})
    state.note_images(str(tmp_path), {"sha256:b": {"vllm_version": "0.31.0"}})
    assert sorted(state.load_images(str(tmp_path))) == ["sha256:a", "sha256:b"]
    (tmp_path / "images.json").write_text("[")
    assert state.load_images(str(tmp_path)) == {}


def test_a_lock_excludes_and_names_its_holder(tmp_path):
    first = locks.Lock(str(tmp_path), "server-chat").acquire(0)
    assert locks.holder(first.path) == {"held": True, "pid": os.getpid()}
    waited = []
    with pytest.raises(locks.LockTimeout) as caught:
        locks.Lock(str(tmp_path), "server-chat").acquire(0.2, lambda: waited.append(1))
    assert waited == [1] and "server-chat" in str(caught.value) and str(os.getpid()) in str(caught.value)
    first.release()
    assert locks.holder(first.path) == {"held": False, "pid": None}
    with locks.Lock(str(tmp_path), "server-chat").acquire(0):
        assert locks.locked(first.path)


def test_a_lock_dies_with_its_process(tmp_path):
    path = locks.path_of(str(tmp_path), "gpu-MIG-1/2")
    assert os.path.basename(path) == "gpu-MIG-1_2.lock"
    files.directory(os.path.dirname(path), 0o711)
    code = "import fcntl,sys,time;f=open(sys.argv[1],'w');fcntl.flock(f,2);print('held',flush=True);time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        assert locks.holder(path)["held"] is True
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert locks.holder(path)["held"] is False


def test_a_journal_is_read_in_slices(tmp_path):
    book = journal.Journal(str(tmp_path), "chat", "job1", Redactor(["hunter22"]))
    book.write("accepted", action="create")
    path = journal.find(str(tmp_path), "job1")
    events, offset = journal.read(path, 0)
    assert [event["event"] for event in events] == ["accepted"] and events[0]["server"] == "chat"
    book.write("phase", text="key is hunter22", nested={"hunter22": ["x hunter22 y"]})
    os.write(book.fd, b'{"half')
    events, after = journal.read(path, offset)
    assert events[0]["text"] == "key is " + MASK and "hunter22" not in json.dumps(events)
    assert journal.read(path, after) == ([], after)
    assert journal.alive(path)
    book.close()
    assert not journal.alive(path)


def test_a_newer_job_has_a_newer_journal(tmp_path):
    books = [journal.Journal(str(tmp_path), "chat", "job{0}".format(n), Redactor()) for n in range(5)]
    for book in books:
        book.write("accepted")
    names = [os.path.basename(journal.find(str(tmp_path), "job{0}".format(n)) or "gone") for n in range(5)]
    assert names == ["gone", "journal.3.jsonl", "journal.2.jsonl", "journal.1.jsonl", "journal.jsonl"]
    # Others queue for the lock or have given up: the oldest that lives is at work.
    books[4].write("done", result="ok")
    assert journal.last(str(tmp_path))["job"] == "job1"
    for book in books[:4]:
        book.close()
    last = journal.last(str(tmp_path))
    assert (last["job"], last["done"], last["result"], last["alive"]) == ("job4", True, "ok", True)
    books[4].close()


def test_a_full_disk_costs_journal_lines_and_nothing_else(tmp_path, monkeypatch):
    book = journal.Journal(str(tmp_path), "chat", "job1", Redactor())

    def full(fd, data):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    assert book.write("phase") is False and book.lost == 1
    monkeypatch.undo()
    assert book.write("done", result="ok") is True
    book.close()


def test_no_journal_is_no_error(tmp_path):
    assert journal.last(str(tmp_path)) is None and journal.find(str(tmp_path), "x") is None
    (tmp_path / "journal.jsonl").write_bytes(b"\xff\n")
    assert journal.last(str(tmp_path)) is None


def test_watch_ends_with_the_job(tmp_path):
    book = journal.Journal(str(tmp_path / "chat"), "chat", "job1", Redactor())
    book.write("accepted")
    request = {"state_dir": str(tmp_path), "jobs": {"chat": {"job": "job1", "offset": 0}}, "budget": 3.0}
    begin = time.monotonic()
    answer = watch.watch(request)["servers"]["chat"]
    assert answer["alive"] is True and len(answer["events"]) == 1 and time.monotonic() - begin < 2.0
    book.close()
    request["jobs"]["chat"]["offset"] = answer["offset"]
    answer = watch.watch(request)
    assert answer["servers"]["chat"]["alive"] is False and answer["waited"] < 0.5


def test_the_redactor_knows_the_forms_of_a_secret():
    pem = "-----BEGIN KEY-----\nabcdefghijkl\n}"
    redact = Redactor([pem, 'quo"te', "short", "shorter", ""])
    assert redact.text("x abcdefghijkl y") == "x {0} y".format(MASK)
    assert redact.text("{0}") == "{0}"
    assert redact.text(json.dumps({"a": 'quo"te'})) == json.dumps({"a": MASK})
    assert redact.text("shorter") == MASK
    assert redact.data({"short": ["short", 3, None]}) == {MASK: [MASK, 3, None]}
    assert Redactor().data({"a": 1}) == {"a": 1}
