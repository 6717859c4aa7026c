# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host notices of changed files, and how it puts them back, on a real directory."""

from __future__ import annotations

import json
import os
import shutil
import stat

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import files, intact

WANTED = [
    {"path": "launch.sh", "mode": "0555", "content": "exec \"$@\"\n"},
    {"path": "nccl/nccl.conf", "mode": "0444", "content": "NCCL_DEBUG=INFO\n"},
]  # fmt: skip
SECRETS = {"VLLM_API_KEY": "sk-very-secret"}
USER = {"uid": os.getuid(), "gid": os.getgid()}


class Written:
    """A server's directory as a job leaves it, with the record of it."""

    def __init__(self, state_dir):
        self.state_dir, self.server_dir = str(state_dir), str(state_dir / "chat")
        self.folder = state_dir / "chat" / "generations" / "g1"
        files.directory(self.server_dir, 0o711)
        for name in ("run", "cache/abc"):
            files.directory(os.path.join(self.server_dir, name), 0o750)
        files.write_generation(self.server_dir, "g1", WANTED, SECRETS, USER, "j1")
        mounts = [str(self.folder), self.server_dir + "/run", self.server_dir + "/cache/abc"]
        mounts += [self.state_dir + "/models/not-ours", self.server_dir + "/hub"]
        mounts += [str(self.folder / "nccl" / "nccl.conf"), "/models/chat", self.state_dir + "/locks/starting/GPU-1"]
        self.committed = {
            "generation": "g1",
            "salt": "5a17",
            "body": {"HostConfig": {"Mounts": [{"Type": "bind", "Source": path} for path in mounts]}},
            "files": intact.marks(self.server_dir, "g1", "5a17"),
        }
        files.directory(mounts[-1], 0o755)

    def problems(self):
        return {item["path"]: item["problem"] for item in intact.look(self.state_dir, "chat", self.committed)}

    def put_back(self):
        intact.put_back(self.server_dir, "g1", WANTED, SECRETS, USER, "j2")


@pytest.fixture
def written(tmp_path):
    return Written(tmp_path)


def edited(written):
    path = written.folder / "launch.sh"
    path.chmod(0o755)
    path.write_text("exec sleep 1\n")


def protected_otherwise(written):
    (written.folder / "secrets").chmod(0o700)
    (written.folder / "secrets" / "VLLM_API_KEY").chmod(0o644)


def removed(written):
    (written.folder / "nccl").chmod(0o755)
    (written.folder / "nccl" / "nccl.conf").unlink()


def made_a_directory(written):
    removed(written)
    (written.folder / "nccl" / "nccl.conf").mkdir()


def gone_altogether(written):
    shutil.rmtree(str(written.folder))


GENERATION = "generations/g1"


@pytest.mark.parametrize(
    "harm, found",
    [
        (lambda written: None, {}),
        (edited, {GENERATION + "/launch.sh": "edited"}),
        (protected_otherwise, {GENERATION + "/secrets/VLLM_API_KEY": "mode 0644 and owner"}),
        (removed, {GENERATION + "/nccl/nccl.conf": "missing"}),
        (gone_altogether, {GENERATION: "missing"}),
    ],
)
def test_harm_is_noticed_and_put_back(written, harm, found):
    harm(written)
    problems = written.problems()
    assert set(problems) == set(found) and all(problems[path].startswith(found[path]) for path in found)
    assert "very-secret" not in json.dumps([problems, written.committed])
    written.put_back()
    assert written.problems() == {}
    assert (written.folder / "secrets" / "VLLM_API_KEY").read_text() == "sk-very-secret"
    assert not [name for base, dummy, names in os.walk(written.server_dir) for name in names if name.endswith("j2")]


def test_a_running_container_sees_what_is_put_back(written):
    """It has the directory itself mounted: another one of that name would be none of its own."""
    before = os.stat(str(written.folder)).st_ino
    untouched = os.stat(str(written.folder / "nccl" / "nccl.conf")).st_ino
    edited(written)
    written.put_back()
    assert os.stat(str(written.folder)).st_ino == before
    assert os.stat(str(written.folder / "nccl" / "nccl.conf")).st_ino == untouched
    assert stat.S_IMODE(os.stat(str(written.folder / "launch.sh")).st_mode) == 0o555


def test_what_cannot_be_put_back_says_so(written):
    made_a_directory(written)
    assert written.problems() == {GENERATION + "/nccl/nccl.conf": "missing"}
    with pytest.raises(OSError):
        written.put_back()
    assert os.listdir(str(written.folder / "nccl")) == ["nccl.conf"], "nothing half-written stays"


def test_directories_that_the_engine_would_miss_are_named(written):
    shutil.rmtree(os.path.join(written.server_dir, "cache"))
    shutil.rmtree(os.path.join(written.state_dir, "locks"))
    assert written.problems() == {"cache/abc": "missing", "../locks/starting/GPU-1": "missing"}


def test_a_file_that_was_only_touched_or_restored_is_as_it_was(written):
    """Its time is another one then, and its content decides."""
    path = written.folder / "launch.sh"
    os.utime(str(path))
    assert os.lstat(str(path)).st_ctime_ns != written.committed["files"]["launch.sh"][3]
    assert written.problems() == {}
    copy = path.read_bytes()
    path.unlink()
    path.write_bytes(copy)
    path.chmod(0o555)
    assert written.problems() == {}


def test_an_edit_of_the_same_length_and_time_is_noticed(written):
    path, info = written.folder / "launch.sh", os.stat(str(written.folder / "launch.sh"))
    path.chmod(0o755)
    path.write_text('exec "$*"\n')
    path.chmod(0o555)
    os.utime(str(path), ns=(info.st_atime_ns, info.st_mtime_ns))
    assert written.problems() == {GENERATION + "/launch.sh": "edited"}


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir],
    ids=["pipe", "link", "directory"],
)
def test_what_is_no_file_any_more_is_missing_and_never_waited_for(written, make):
    written.folder.chmod(0o755)
    (written.folder / "launch.sh").unlink()
    make(str(written.folder / "launch.sh"))
    assert written.problems() == {GENERATION + "/launch.sh": "missing"}


def test_what_an_editor_leaves_beside_a_file_is_nobodys_problem(written):
    written.folder.chmod(0o755)
    (written.folder / "launch.sh~").write_text("x")
    assert written.problems() == {}


def test_records_of_before_and_of_strangers_are_not_compared(written):
    edited(written)
    del written.committed["files"]
    assert written.problems() == {}
    gone_altogether(written)
    assert written.problems() == {GENERATION: "missing"}, "what is mounted is on record all the same"
    assert intact.look(written.state_dir, "chat", dict(written.committed, adopted=True)) == []
    assert intact.look(written.state_dir, "chat", None) == []


def test_digests_do_not_serve_to_guess_a_secret(written):
    other = intact.marks(written.server_dir, "g1", "other salt")
    assert other["secrets/VLLM_API_KEY"][0] != written.committed["files"]["secrets/VLLM_API_KEY"][0]
