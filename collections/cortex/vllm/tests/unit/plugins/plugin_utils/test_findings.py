# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The language of checks."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import (
    Finding,
    FindingsError,
    accepted,
    errors,
    ordered,
    text,
)


def finding(code: str = "gpu.shared", severity: str = "error", **values: object) -> Finding:
    return Finding(code, severity, "is taken", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made, line",
    [
        (finding(), "is taken."),
        (finding(field="vllm_servers[chat].gpus"), "vllm_servers[chat].gpus: is taken."),
        (finding(field="a", fix="Write 1"), "a: is taken. Write 1."),
        (Finding("a.b", "info", "really?", fix="Look!"), "really? Look!"),
    ],
)
def test_one_line(made: Finding, line: str) -> None:
    assert str(made) == line


@pytest.mark.parametrize("code", ["", "gpu", "Gpu.shared", "gpu.", "gpu shared", "gpu..x", ".x", "gpu_x.y"])
def test_a_code_is_concern_and_what(code: str) -> None:
    with pytest.raises(ValueError, match="not a finding code"):
        Finding(code, "error", "x")


def test_severity_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="not a severity"):
        finding(severity="fatal")


def test_origin_stays_behind() -> None:
    made = finding(origin="hunter2")
    assert made == finding(origin="else")
    assert hash(made) == hash(finding())
    assert "hunter2" not in repr(made) + str(made) + json.dumps(made.as_dict())
    assert set(made.as_dict()) == {"code", "severity", "message", "field", "fix", "server"}


def test_errors_come_first_and_order_is_kept() -> None:
    mixed = [finding("b.b", "info"), finding("c.c", "error"), finding("a.a", "warning"), finding("a.a", "error")]
    assert [item.severity for item in ordered(mixed)] == ["error", "error", "warning", "info"]
    assert [item.code for item in errors(mixed)] == ["c.c", "a.a"]
    assert text(mixed).count("\n") == 3


def test_accepting_makes_warnings_of_errors_only() -> None:
    mixed = [finding("a.a", "error"), finding("b.b", "error"), finding("a.a", "info")]
    assert [item.severity for item in accepted(mixed, ["a.a"])] == ["warning", "error", "info"]
    assert accepted(mixed, []) == mixed


def test_the_error_says_every_finding() -> None:
    error = FindingsError(iter([finding("b.b", "warning", field="x"), finding(field="y")]))
    assert str(error) == "y: is taken.\nx: is taken."
    assert [item.field for item in error.findings] == ["x", "y"]
