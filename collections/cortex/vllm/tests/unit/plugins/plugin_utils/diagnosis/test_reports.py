# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs as people paste them (data/reports.json): message texts from reports, shortened, without names, paths and hosts.

``source`` says of some where they were reported. They are torn: they begin within a traceback, end before its last
line, or stand behind whatever carried them.
"""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils import diagnosis

REPORTS = json.loads((pathlib.Path(__file__).parent / "data" / "reports.json").read_text(encoding="utf-8"))
FAILED = [report for report in REPORTS if report["code"]]
FINE = [report for report in REPORTS if not report["code"]]


@pytest.mark.parametrize("report", FAILED, ids=[report["name"] for report in FAILED])
def test_a_report_is_called_what_it_is(report):
    said = diagnosis.diagnose(report["lines"], 1).as_dict()
    assert (said["code"], said["state"]) == (report["code"], "failed")
    assert said["evidence"] and said["fix"]


@pytest.mark.parametrize("report", FINE, ids=[report["name"] for report in FINE])
def test_alarming_lines_of_servers_that_serve_are_no_failure(report):
    assert diagnosis.diagnose(report["lines"]).state in {"healthy", "loading"}


def test_what_is_said_within_a_line_of_vllm_begins_no_other_line():
    line = "(APIServer pid=1) INFO 11-22 11:50:13 [x.py:1] it says ERROR 11-22 11:50:13 [core.py:1] and goes on"
    said = diagnosis.diagnose([line, "INFO:     Application startup complete."])
    assert said.state == "healthy"
