# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hub's own client downloads from a Hub on loopback: pinned, continued, and refused with what to do."""

from __future__ import annotations

import pathlib
import subprocess

import fake_hub
import pytest
import sites
from hands import REPOSITORY

MODEL, TOKEN = "org/tiny", "hf_this-is-a-secret-token"
OFFLINE = (
    "import huggingface_hub as h, sys; "
    f"print(h.snapshot_download({MODEL!r}, revision='v1', cache_dir=sys.argv[1], local_files_only=True))"
)


@pytest.fixture
def hub():
    found = fake_hub.Hub()
    found.publish(MODEL, sites.model_files(), sites.COMMIT, ("main", "v1"))
    yield found
    found.server.shutdown()


@pytest.fixture(scope="session")
def python():
    done = subprocess.run([REPOSITORY / "tools/hub-environment"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def site(tmp_path):
    return sites.Site(tmp_path / "site")


def snapshot(site, commit=sites.COMMIT):
    return pathlib.Path(site.folder) / "hub" / "models--org--tiny" / "snapshots" / commit


def options(site, hub, client, **more):
    given = {"model": MODEL, "hub_cache": str(site.folder / "hub"), "endpoint": hub.url, "python": client}
    return {**given, **more}


def test_a_revision_is_pinned_and_left_alone(site, hub, python):
    """The commit, its ref, and only what a server reads; the Hub's client takes it offline; then no question at all."""
    done = site.task("download", **options(site, hub, python, revision="v1"))
    assert done["changed"] and (done["commit"], done["path"]) == (sites.COMMIT, str(snapshot(site)))
    names = {str(path.relative_to(snapshot(site))) for path in snapshot(site).rglob("*") if path.is_file()}
    assert names == set(sites.model_files()) - {"pytorch_model.bin", "onnx/model.onnx"}
    assert sites.tree(snapshot(site).parent.parent / "refs") == {"v1": sites.COMMIT.encode()}
    told = subprocess.run([python, "-c", OFFLINE, site.folder / "hub"], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == str(snapshot(site)), told.stderr
    hub.asked.clear()
    assert not site.task("download", **options(site, hub, python, revision="v1"))["changed"] and not hub.asked


@pytest.mark.long
def test_what_broke_off_is_continued_and_a_branch_may_move(site, hub, python):
    """Cut in the middle: a finding; whole the next time, with nothing fetched twice."""
    hub.cut.add("model.safetensors")
    cut = site.task("download", expect=2, **options(site, hub, python))
    assert [finding["code"] for finding in cut.last["findings"]] == ["hub.unreachable"], cut.text
    assert not (snapshot(site) / "model.safetensors").exists()
    finished = {name for name in hub.files_asked() if (snapshot(site) / name).exists()}
    assert "config.json" in finished

    hub.cut.clear()
    hub.asked.clear()
    assert site.task("download", **options(site, hub, python))["changed"]
    assert not finished & set(hub.files_asked()) - {"pytorch_model.bin"}
    hub.publish(MODEL, sites.model_files(seed=5), sites.OLDER, ("main",))
    moved = site.task("download", **options(site, hub, python, update=True))
    assert moved["changed"] and moved["commit"] == sites.OLDER
    assert (snapshot(site).parent.parent / "refs" / "main").read_text() == sites.OLDER


@pytest.mark.long
def test_refusals_are_findings_and_the_token_is_nowhere(site, hub, python):
    hub.tokens.add(TOKEN)
    hub.gated.add(MODEL)
    tries = {
        "hub.gated": {},
        "hub.token": {"token": "hf_wrong-and-secret"},
        "hub.not-found": {"model": "org/none"},
        "model.revision-absent": {"revision": "v9", "token": TOKEN},
        "hub.unreachable": {"endpoint": "http://127.0.0.1:9"},
        "hub.client": {"python": "/usr/bin/python3"},
    }
    tasks = {
        f"download-{code}": {**options(site, hub, python, **more), "_ignore": True} for code, more in tries.items()
    }
    tasks["download-good"] = options(site, hub, python, token=TOKEN)
    outcome = site.play(site.book(**tasks), "-vvv")
    for code in tries:
        result = outcome.one(f"download-{code}")
        assert [finding["code"] for finding in result["findings"]] == [code], result["msg"]
    assert outcome.one("download-good")["commit"] == sites.COMMIT
    for secret in (TOKEN, "hf_wrong-and-secret"):
        assert secret not in outcome.text
        assert not [line for line in hub.seen_arguments if secret.encode() in line]
        written = [path for top in (site.state, site.folder / "hub") for path in top.rglob("*") if path.is_file()]
        assert written and not [path for path in written if secret.encode() in path.read_bytes()]
    assert any(b"CORTEX_ASKED" in line for line in hub.seen_arguments), "no process was seen"


def test_a_directory_is_no_download(site, hub, python):
    outcome = site.task("download", expect=2, **options(site, hub, python, model="/srv/models/x"))
    assert "cannot be downloaded" in outcome.last["msg"] and not hub.asked
