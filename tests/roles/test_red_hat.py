# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role host: the Red Hat family has what Debian has, or a reason why not."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from test_host_families import ROLE, SYSTEMS, Host

#: Tasks that only one family has: the other family's, or why it needs none. Written as `file: name`.
TWINS = {
    "packages.yml: Install on Debian and Ubuntu": "packages.yml: Install on the Red Hat family",
    "repositories.yml: Set up repositories of apt": "repositories.yml: Set up repositories of dnf",
    "hold.yml: Ask which packages are held": "the list of locks is a file, which the task compares by itself",
    "hold.yml: Hold packages": "hold.yml: Lock versions",
    "prove.yml: Ask which packages are held": "the list of locks is the file that was written",
    "prove.yml: Prove the holds": "the list of locks is the file that was written",
}


def tasks_of(file: str) -> t.Iterator[tuple[dict[str, t.Any], str]]:
    """Tasks of a file, those of blocks too, with the conditions of what they stand in."""

    def walk(items: t.Any, above: str) -> t.Iterator[tuple[dict[str, t.Any], str]]:
        for item in items:
            when = item.get("when", [])
            conditions = above + " ".join(map(str, when if isinstance(when, list) else [when]))
            yield item, conditions
            for part in ("block", "rescue", "always"):
                yield from walk(item.get(part) or [], conditions)

    return walk(yaml.safe_load((ROLE / "tasks" / file).read_text(encoding="utf-8")), "")


def families() -> dict[str, set[str]]:
    """Outermost tasks of one family alone."""
    found: dict[str, set[str]] = {"Debian": set(), "RedHat": set()}
    for path in sorted((ROLE / "tasks").glob("*.yml")):
        for item, conditions in tasks_of(path.name):
            own = " ".join(map(str, item["when"])) if isinstance(item.get("when"), list) else str(item.get("when", ""))
            own += str(item.get("loop", "")) if "os_family" in str(item.get("loop", "")) else ""
            for family, tasks in found.items():
                outermost = conditions.count("os_family") <= own.count("os_family")
                if f"os_family == '{family}'" in own and outermost:
                    tasks.add(f"{path.name}: {item['name']}")
    return found


def test_each_task_of_one_family_has_its_twin_or_a_reason():
    found = families()
    assert found["Debian"] == set(TWINS), "a task of Debian's without a word about Red Hat"
    named = {other for other in TWINS.values() if ".yml: " in other}
    assert found["RedHat"] == named, "a task of Red Hat's that is nobody's twin"


def test_both_families_have_the_same_tables():
    names = ("Debian", "RedHat")
    debian, red = (yaml.safe_load((ROLE / "vars" / f"{name}.yml").read_text(encoding="utf-8")) for name in names)
    for table in ("host__tables", "host__where", "host__vendor_repositories"):
        assert set(debian[table]) == set(red[table]), table
    for engine in ("docker", "podman"):
        assert set(debian["host__tables"][engine]) == set(red["host__tables"][engine])
    assert set(debian["host__tables"]["driver"]) == set(red["host__tables"]["driver"])
    # What only one of them has is used by itself alone, but for the stream of the driver.
    assert set(red) - set(debian) == {"host__nvidia_rpm", "host__driver_stream"}


@pytest.mark.parametrize("block", ["Install on Debian and Ubuntu", "Install on the Red Hat family"])
def test_what_no_repository_has_is_named_before_anything_is_installed(block):
    (found,) = [item for item, _when in tasks_of("packages.yml") if item["name"] == block]
    names = [item["name"] for item in found["block"]]
    refused = names.index("Refuse packages that nobody has")
    assert names.index("Ask where each package comes from") < refused < names.index("Install what is missing")
    assert "Install the driver's files" not in names[:refused]


@pytest.mark.parametrize("system", [name for name, facts in SYSTEMS.items() if facts[0] == "RedHat"])
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("python3-docker", ["EPEL", "epel-release", "codeready-builder-for-rhel-"]),
        ("dkms", ["EPEL", "epel-release", "host_driver_build_packages: []"]),
        ("nvidia-container-toolkit", ["host_toolkit_source: vendor"]),
        ("docker-ce", ["host_engine_source: vendor", "host_engine: podman"]),
        ("nvidia-driver-cuda", ["host_driver_source: vendor"]),
        ("nvidia-fabricmanager", ["host_driver_source: vendor"]),
        ("chrony", ["host_time_sync: false"]),
        ("python3-dnf-plugin-versionlock", ["host_hold: false"]),
    ],
)
def test_where_red_hats_packages_are_to_be_had(system, package, words):
    host = Host(system, host_driver_source="given", host_engine_source="given", host_nvswitch=True)
    assert package in host["host__wanted"]
    host.variables["host__nowhere"] = [package]
    text = host["host__nowhere_text"]
    assert package in text and all(word in text for word in words), text


@pytest.mark.parametrize("system", sorted(SYSTEMS))
@pytest.mark.parametrize("source", ["distribution", "vendor"])
def test_each_source_gives_packages_or_is_refused_with_advice(system, source):
    """What a family does not carry is an empty list here, which refuse.yml refuses with the words of host__where."""
    host = Host(system, host_driver_source=source, host_engine_source=source, host_driver_branch="580")
    for part in ("driver", "engine"):
        assert host["host__packages"][part] or len(host["host__where"][part]) > 40, (system, source, part)
    vendors = {item["name"] for item in host["host__repositories"]}
    assert vendors == ({"docker", "driver", "toolkit"} if source == "vendor" else {"toolkit"})
