# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation says what the code does: options, defaults, choices; and the action group is what it has to be."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible_collections.cortex.vllm.plugins.plugin_utils import spec

ROOT = pathlib.Path(__file__).resolve().parents[4]
ACTIONS = sorted(path.stem for path in (ROOT / "plugins/action").glob("*.py"))
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if not path.stem.startswith("_"))
BASE = "ansible_collections.cortex.vllm.plugins"
#: Options of actions that go through as they are, because only the models know what may stand in them.
RAW = {
    "servers": {"servers", "defaults", "holds"},
    "memory_plan": {"servers", "defaults"},
    "watchdog": {"servers", "defaults"},
    "restore": {"servers", "defaults"},
    "download": {"servers", "defaults"},
    "lend": {"servers", "defaults"},
}
#: What a declaration must say, and the task args fills in when it is not said.
FILLED_IN = {"name", "image"}
DECLARED = {"server": spec.ServerSpec, "args": spec.ServerSpec, "container": spec.ContainerSpec}


def documentation(name: str, what: str = "options") -> dict[str, t.Any]:
    """Options or attributes of a module's documentation, fragments included. What it says itself wins."""
    documented = yaml.safe_load(importlib.import_module(f"{BASE}.modules.{name}").DOCUMENTATION)
    parts = []
    for fragment in documented.get("extends_documentation_fragment", []):
        _namespace, _collection, file, *section = fragment.split(".")
        holder = importlib.import_module(f"{BASE}.doc_fragments.{file}").ModuleDocFragment
        parts.append(yaml.safe_load(getattr(holder, section[0].upper() if section else "DOCUMENTATION")))
    told: dict[str, t.Any] = {}
    for part in (*parts, documented):
        for key, row in (part.get(what) or {}).items():
            told[key] = {**told.get(key, {}), **row}
    return told


def code(name: str) -> dict[str, dict[str, t.Any]]:
    return importlib.import_module(f"{BASE}.action.{name}").ActionModule.SPEC


@pytest.mark.parametrize("name", ACTIONS)
def test_every_option_is_documented_and_true(name: str) -> None:
    told = documentation(name)
    declared = spec.fields(DECLARED[name]) if name in DECLARED else {}

    assert set(told) == set(code(name)) | RAW.get(name, set()) | set(declared)
    for option, known in code(name).items():
        assert told[option]["type"] == known["type"], option
        assert told[option].get("default") == known.get("default"), option
        assert told[option].get("choices") == known.get("choices"), option
        assert told[option].get("elements") == known.get("elements"), option
        assert bool(told[option].get("required")) == bool(known.get("required")), option
    for option, known in declared.items():
        assert told[option]["type"] == known["type"], option
        assert told[option].get("choices") == known["choices"], option
        if name == "args" and option in FILLED_IN:
            assert not told[option].get("required"), option
            continue
        assert told[option].get("default") == (None if known["required"] else known["default"]), option
        assert bool(told[option].get("required")) == known["required"], option


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_no_option_means_two_things(name: str) -> None:
    assert not set(code(name)) & set(spec.fields(DECLARED[name]))


def test_the_group_is_every_task_with_the_connection() -> None:
    members = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]["vllm"]
    reaching = {name for name in MODULES if "docker_host" in documentation(name)}

    assert set(members) == reaching
    assert len(members) == len(set(members))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_does_with_check_mode(name: str) -> None:
    """Of itself or by a fragment, with each attribute described once."""
    told = documentation(name, "attributes")

    assert {"check_mode", "diff_mode", "idempotent"} <= set(told)
    assert all(row.get("support") and row.get("description") for row in told.values()), told
    assert ("action" in told) == (name in ACTIONS)
    assert ("action_group" in told) == ("docker_host" in documentation(name))


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_keep_the_contract(name: str) -> None:
    action = importlib.import_module(f"{BASE}.action.{name}").ActionModule

    assert action._supports_check_mode is True
    assert action._supports_async is False
    assert action.TRANSFERS_FILES is False


@pytest.mark.parametrize("name", ["servers", "server", "container", "args"])
def test_loading_an_action_loads_the_brains(name: str) -> None:
    """The parent loads the class before it forks: what is loaded by then is loaded once for all hosts."""
    code = f"""
import sys
import {BASE}.action.{name}
from {BASE}.plugin_utils.catalog import store
assert "pydantic" in sys.modules
assert "{BASE}.plugin_utils.rendering" in sys.modules
assert store._index.cache_info().currsize == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        stderr=subprocess.PIPE,
    )

    assert done.returncode == 0, done.stderr.decode()


def test_the_fragment_of_declarations_is_that_of_the_models() -> None:
    from ansible_collections.cortex.vllm.plugins.doc_fragments import _declaration

    holder = _declaration.ModuleDocFragment
    written = {
        section: set(yaml.safe_load(getattr(holder, section))["options"])
        for section in ("DOCUMENTATION", "SERVER", "CONTAINER")
    }

    assert written["DOCUMENTATION"] | written["SERVER"] == set(spec.fields())
    assert written["DOCUMENTATION"] | written["CONTAINER"] == set(spec.fields(spec.ContainerSpec))


def test_role_defaults_and_specification_name_the_same() -> None:
    role = ROOT / "roles/server"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    told = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    tasks = {path.stem for path in (role / "tasks").glob("*.yml")}

    assert set(told) == tasks
    for entry in told.values():
        # What has to be said has no default.
        required = {name for name, option in entry["options"].items() if option.get("required")}
        assert set(entry["options"]) - required == set(defaults)
