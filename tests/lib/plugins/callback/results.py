# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the result of every task on every host to the file named by PLAY_RESULTS, one JSON object a line."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: Results as JSON lines
description: [For tests that judge what tasks returned and not how it was shown.]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def _note(self, result, failed=False):
        row = {"host": result._host.get_name(), "task": result._task.get_name()}
        row["result"] = {**result._result, "failed": bool(failed)}
        with open(os.environ["PLAY_RESULTS"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(row, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._note(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note(result, failed=not ignore_errors)

    def v2_runner_on_unreachable(self, result):
        self._note(result, failed=True)
