# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation shows works: its declarations load, and its reference is made from the code."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.cortex.vllm.plugins.plugin_utils import gpu_selection, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import CODE, FindingsError

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/*.md",
    "collections/cortex/vllm/README.md",
    "collections/cortex/vllm/docs/docsite/rst/*.rst",
)


def _declarations() -> list[tuple[str, dict]]:
    """Every YAML block of the documentation that declares servers: (page and line, content)."""
    found = []
    for page in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        text = page.read_text()
        if page.suffix == ".md":
            blocks = re.finditer(r"```ya?ml\n(.*?)```", text, re.DOTALL)
        else:
            blocks = re.finditer(r"\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)", text)
        for block in blocks:
            body = re.sub(r"^   ", "", block[1], flags=re.MULTILINE) if page.suffix == ".rst" else block[1]
            if "vllm_servers:" in body:
                line = text[: block.start()].count("\n") + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", yaml.safe_load(body)))
    return found


#: What the page leaves out of a UUID.
UUID_REST = "aaaa-4a1f-4a1f-9a6e-000000000000"
DECLARATIONS = _declarations()


def test_there_are_examples() -> None:
    assert len(DECLARATIONS) >= 5


@pytest.mark.parametrize("content", [one[1] for one in DECLARATIONS], ids=[one[0] for one in DECLARATIONS])
def test_example_loads(content: dict) -> None:
    servers = spec.load(content["vllm_servers"], content.get("vllm_server_defaults"))
    assert len(servers) == len(content["vllm_servers"])


def test_declaration_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs_declaration.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_hardware_page_and_architectures_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/docs_support.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_field_is_on_the_page() -> None:
    text = (ROOT / "docs/declaration.md").read_text()
    for name, field in spec.fields().items():
        assert f"| `{name}` |" in text
        assert field["description"], name


def test_gpu_forms_of_the_page_are_accepted() -> None:
    """The table of forms: each that is shown is understood, and the refused ones are refused."""
    text = (ROOT / "docs/declaration.md").read_text()
    rows = re.findall(r"^\| (`.*`) \| ", text[text.index("## GPUs") : text.index("## Engine")], re.MULTILINE)
    forms = [form for row in rows for form in re.findall(r"`([^`]+)`", row)]
    assert len(forms) >= 8
    for form in forms:
        value = yaml.safe_load(form.replace("…", UUID_REST))
        gpu_selection.parse(value, "gpus")
    for refused in ([0, 0], [-1], [0, "GPU-8f2caaaa-4a1f-4a1f-9a6e-000000000000"]):
        with pytest.raises(FindingsError):
            gpu_selection.parse(refused, "gpus")


def _codes() -> set[str]:
    path = ROOT / "tools" / "finding_codes.py"
    loader = importlib.util.spec_from_file_location("finding_codes", path)
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    return set(module.codes(ROOT / "collections/cortex/vllm/plugins"))


def test_every_finding_is_in_the_troubleshooting_guide() -> None:
    """Each code of the source has an entry, and each entry a code in the source."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9.-]+)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    listed = [row[0] for row in rows]
    assert len(listed) == len(set(listed)), "an entry is there twice"
    assert all(CODE.match(code) for code in listed)
    assert set(listed) == _codes()
