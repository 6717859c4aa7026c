# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of a plain tar: sent and loaded once, their digests remembered, and what is no such tar refused with why."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile

import pytest
import sites


@pytest.fixture
def site(tmp_path):
    """Over a connection that is not local: files of the controller have to be sent."""
    return sites.Site(tmp_path / "site", connection="counted")


def save(path, *refs):
    subprocess.run(["docker", "save", "-o", str(path), *refs], check=True, capture_output=True)
    return str(path)


def noted(site, ident):
    known = json.loads((site.state / "images.json").read_text())
    return (known.get("images") or known)[ident]


def test_a_tar_is_loaded_once_and_its_digest_is_known(site, images, tmp_path):
    ref, ident = images.make()
    path = save(tmp_path / "image.tar", ref)
    digest = f"{ref.partition(':')[0]}@sha256:{'d' * 64}"
    given = {"path": path, "digests": {ref: digest}, "part_size": 65536}
    images.remove(ident)

    ahead = site.task("image_load", "--check", "--diff", **given)
    assert ahead["changed"] and ahead["done"] == [f"image {ref}: loaded"] and images.id(ref) is None
    first = site.task("image_load", **given)
    assert first["changed"] and images.id(ref) == ident and first["sent"] > 200_000
    assert first["images"] == [{"id": ident, "tags": [ref], "digests": [digest], "image": ref}]
    assert noted(site, ident)["digests"] == [digest]
    second = site.task("image_load", **given)
    assert not second["changed"] and second["sent"] == 0 and second["remote_calls"] == 1


@pytest.mark.long
def test_several_images_a_lost_tag_and_a_tar_on_the_host(site, images, tmp_path):
    """All of one file at once; a tag that is gone is given again without loading; a hash that is told is compared."""
    made = [images.make() for _number in range(2)]
    path = save(tmp_path / "both.tar", *(ref for ref, _ident in made))
    sha256 = hashlib.sha256((tmp_path / "both.tar").read_bytes()).hexdigest()
    for _ref, ident in made:
        images.remove(ident)
    wrong = site.task("image_load", expect=2, path=path, remote_src=True, sha256="0" * 64)
    assert "bundle.damaged" in str(wrong.last["findings"]) and images.id(made[0][1]) is None
    done = site.task("image_load", path=path, remote_src=True, sha256=sha256)
    assert len(done["done"]) == 1 or {images.id(ref) for ref, _ident in made} == {ident for _ref, ident in made}
    assert [images.id(ref) for ref, _ident in made] == [ident for _ref, ident in made]

    ref, ident = made[0]
    subprocess.run(["docker", "tag", ref, f"{ref}-kept"], check=True)
    images.docker.call("DELETE", f"/images/{ref}?noprune=1")
    named = site.task("image_load", path=path, images=[ref])
    assert named["done"] == [f"image {ref}: named {ref}"] and named["sent"] == 0 and images.id(ref) == ident


@pytest.mark.long
def test_what_is_no_tar_of_images(site, images, tmp_path):
    ref, _ident = images.make()
    whole = save(tmp_path / "whole.tar", ref)
    (tmp_path / "text.tar").write_text("not found\n" * 99)
    with tarfile.open(tmp_path / "export.tar", "w") as archive:
        archive.add(__file__, "etc/hostname")
    cut = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(cut[: len(cut) // 2])
    tries = {
        "image_load-gone": ({"path": str(tmp_path / "no.tar")}, "bundle.damaged", "No such file"),
        "image_load-text": ({"path": str(tmp_path / "text.tar")}, "bundle.damaged", "cannot be read"),
        "image_load-export": ({"path": str(tmp_path / "export.tar")}, "bundle.damaged", "docker save"),
        "image_load-cut": ({"path": str(tmp_path / "cut.tar")}, "bundle.damaged", ""),
        "image_load-host": ({"path": str(tmp_path / "text.tar"), "remote_src": True}, "bundle.damaged", "cannot be"),
        "image_load-other": ({"path": whole, "images": ["local/other:1"]}, "bundle.lacks", ref),
        "image_load-digest": ({"path": whole, "digests": {ref: "sha256:1"}}, "spec.value", "repository@sha256"),
    }
    outcome = site.play(site.book(**{name: {**options, "_ignore": True} for name, (options, _c, _w) in tries.items()}))
    for name, (_options, code, words) in tries.items():
        result = outcome.one(name)
        (finding,) = result["findings"]
        assert finding["code"] == code, result
        assert words in finding["message"] + finding["fix"] and "Traceback" not in str(result)
