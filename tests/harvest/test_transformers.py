# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which release of Transformers first knows a model_type: read in wheels, and written as the file is."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import pathlib
import tarfile
import zipfile

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "harvest" / "transformers"
LOADER = importlib.machinery.SourceFileLoader("harvest_transformers", str(PROGRAM))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("harvest_transformers", LOADER))
LOADER.exec_module(tool)

OLD = 'CONFIG_MAPPING_NAMES = OrderedDict([("llama", "LlamaConfig"), ("mamba2", "Mamba2Config")])\nOTHER = {"no": 1}\n'
NEW = 'CONFIG_MAPPING_NAMES: OrderedDict[str, str] = OrderedDict({"llama": "L", "glm": "G"})\n'
MORE = 'CONFIG_MAPPING_NAMES = {"gemma9": "Gemma9Config"}\nCONFIG_MAPPING_NAMES.update({"mimi_encoder": "M"})\n'


def wheel(folder: pathlib.Path, *sources: str) -> pathlib.Path:
    path = folder / f"{len(list(folder.iterdir()))}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in zip(tool.FILES, sources, strict=False):
            archive.writestr(name, source)
    return path


def test_the_last_release_of_each_minor_one_is_read() -> None:
    listed = ["4.44.2", "4.44.10", "4.44.0", "5.0.0rc1", "5.0.0", "4.42.4", "4.43.4", "5.25.0"]
    found = tool.last_of_minor(listed, (5, 24))
    assert found == {(4, 43): "4.43.4", (4, 44): "4.44.10", (5, 0): "5.0.0"}


def test_types_are_read_in_each_form_that_releases_wrote_them(tmp_path: pathlib.Path) -> None:
    assert tool.known(wheel(tmp_path, OLD)) == {"llama", "mamba2"}
    assert tool.known(wheel(tmp_path, NEW, MORE)) == {"llama", "glm", "gemma9", "mimi_encoder"}


def test_a_type_counts_for_the_first_release_that_has_it() -> None:
    wheels = {(4, 43): {"llama"}, (4, 44): {"llama", "mamba2"}, (5, 0): {"glm"}, (4, 45): {"llama", "mamba2"}}
    assert tool.since(wheels) == {"4.44": ["mamba2"], "5.0": ["glm"]}


def test_what_vllm_configures_by_itself(tmp_path: pathlib.Path) -> None:
    source = "_CONFIG_REGISTRY: dict = LazyConfigDict(afmoe='AfmoeConfig', **{'kimi_k25': 'KimiK25Config'})\n"
    path = tmp_path / tool.REGISTRY
    path.parent.mkdir(parents=True)
    path.write_text(source)
    archive = tmp_path / "vllm-0.32.0.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(path, f"vllm-0.32.0/{tool.REGISTRY}")
    assert tool.own(archive) == {"afmoe", "kimi_k25"}


def test_the_file_is_as_the_tool_writes_it() -> None:
    written = tool.TARGET.read_text(encoding="utf-8")
    assert tool.text(json.loads(written)) == written
