# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmark counts only what it claims to count."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import urllib.parse
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def _load(name: str) -> ModuleType:
    path = BENCHMARKS / name
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.stem, loader))
    loader.exec_module(module)
    return module


view = _load("lib/engine_view.py")
bench = _load("no_change")


@pytest.mark.parametrize("prefix", ["", "/v1.41"])
def test_view_narrows_the_list_of_containers(prefix: str) -> None:
    filters = urllib.parse.quote(json.dumps({"status": ["running"]}))
    head = f"GET {prefix}/containers/json?all=1&filters={filters} HTTP/1.1\r\nHost: docker\r\n\r\n".encode()
    line, _, rest = view.narrowed(head, "^/?mine-").partition(b"\r\n")
    method, url, version = line.decode().split(" ")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert (method, version, rest) == ("GET", "HTTP/1.1", b"Host: docker\r\n\r\n")
    assert url.startswith(f"{prefix}/containers/json?")
    assert query["all"] == ["1"]
    assert json.loads(query["filters"][0]) == {"status": ["running"], "name": ["^/?mine-"]}


@pytest.mark.parametrize(
    "line", ["GET /v1.41/containers/abc/json", "POST /v1.41/containers/create?name=x", "GET /v1.41/images/json?all=1"]
)
def test_view_passes_the_rest_on(line: str) -> None:
    head = f"{line} HTTP/1.1\r\nHost: docker\r\n\r\n".encode()
    assert view.narrowed(head, "^/?mine-") == head


RECAP = "PLAY RECAP ****\n{}\n"
GOOD = "h000                       : ok=1    changed=0    unreachable=0    failed=0    skipped=0"


def test_a_run_without_change_counts() -> None:
    bench.unchanged("servers", RECAP.format(GOOD), 1)


@pytest.mark.parametrize(
    "recap",
    [
        "",
        GOOD.replace("ok=1", "ok=0"),
        GOOD.replace("changed=0", "changed=1"),
        GOOD.replace("unreachable=0", "unreachable=1"),
        GOOD.replace("failed=0", "failed=1"),
    ],
)
def test_a_run_that_did_something_does_not_count(recap: str) -> None:
    with pytest.raises(SystemExit):
        bench.unchanged("servers", RECAP.format(recap), 1)


def test_ratios_of_the_table() -> None:
    numbers = {
        "empty": {"cpu": 0.5, "wall": 0.5},
        "ping": {"cpu": 1.5, "wall": 1.0, "processes": 10, "target": 0.75},
        "servers": {"cpu": 3.0, "wall": 1.5, "processes": 10, "target": 1.25},
    }
    row = next(line for line in bench.table("hosts", 10, numbers) if line.startswith("servers"))
    assert row.split()[1:] == ["3.00", "1.50", "2.00", "1.50", "2.50", "250", "10", "1250"]
