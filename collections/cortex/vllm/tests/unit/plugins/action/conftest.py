# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action with a host that answers from a list."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable
from unittest import mock

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, converge
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import FakePlan


@dataclasses.dataclass
class Played:
    """An action with its host: what it was asked, and what it showed."""

    action: t.Any
    remote: mock.Mock
    shown: list[str]
    warned: list[str]

    def run(self, **task_vars: t.Any) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self.action.run(task_vars={"inventory_hostname": "gpu1", **task_vars})
        return result

    @property
    def steps(self) -> list[str]:
        return [call.kwargs["module_args"]["step"] for call in self.remote.call_args_list]

    def request(self, index: int) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.remote.call_args_list[index].kwargs["module_args"]["request"]
        return found


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Played]:
    """Make an action plugin whose host answers from a list; an exception in the list is raised."""

    def make(
        module: t.Any,
        answers: list[t.Any],
        check_mode: bool = False,
        no_log: bool = False,
        diff: bool = False,
        **args: t.Any,
    ) -> Played:
        task = Task()
        task._attributes = {}
        task.action = "cortex.vllm.test"
        task.args = args
        task.check_mode, task.no_log, task.diff, task.async_val = check_mode, no_log, diff, 0
        connection = mock.Mock(transport="ssh")
        loader = DataLoader()
        action = module.ActionModule(
            task=task,
            connection=connection,
            play_context=mock.Mock(),
            loader=loader,
            templar=Templar(loader=loader),
            shared_loader_obj=None,
        )
        action._execute_module = remote = mock.Mock(side_effect=answers)
        shown: list[str] = []
        warned: list[str] = []
        monkeypatch.setattr(_action, "display", mock.Mock(display=shown.append, warning=warned.append))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        return Played(action, remote, shown, warned)

    return make


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[t.Any]]:
    """Let planning give these plans, one after the other; the last one is repeated. Returns what planning was given."""

    def use(*made: FakePlan) -> list[t.Any]:
        given: list[t.Any] = []
        queue = list(made)

        def plan(specs: t.Any, seen: t.Any, options: t.Any) -> FakePlan:
            given.append((specs, seen, options))
            return queue.pop(0) if len(queue) > 1 else queue[0]

        monkeypatch.setattr(converge.planning, "plan", plan)
        return given

    return use
