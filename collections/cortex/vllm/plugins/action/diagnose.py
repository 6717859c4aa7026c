# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, bundle, diagnosing
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError


class ActionModule(_action.BrainsAction):
    """Say why a server failed, by its log and its exit state; files and texts are read without any host."""

    #: What a failed server's log says is the answer, not a warning of this task.
    quiet = True

    SPEC = {
        **_action.CONNECTION,
        "container": {"type": "str"},
        "name": {"type": "str"},
        "names": {"type": "list", "elements": "str"},
        "text": {"type": "str"},
        "files": {"type": "list", "elements": "raw"},
        "exit": {"type": "raw"},
        "exit_code": {"type": "int"},
        "oom_killed": {"type": "bool", "aliases": ["oom"]},
        "server": {"type": "str"},
        "lines": {"type": "int", "default": diagnosing.LINES},
        "show": {"type": "bool", "default": False},
        "show_log": {"type": "int", "default": 0},
        "dest": {"type": "path"},
        "attach": {"type": "dict", "default": {}},
        "state_dir": {"type": "path", "default": "/var/lib/cortex-vllm"},
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        _action.refuse_unknown(self._task.args, [*self.SPEC, "oom"])
        what = _exactly_one(options)
        common = _exit(options)
        if what == "files":
            answers = diagnosing.files(options["files"], common, options["server"], self._on_controller)
        elif what == "text":
            answers = [diagnosing.text(options["text"], common, options["server"])]
        elif what == "names":
            return self._host(options, remote)
        else:
            name = options["container"] or f"cortex-vllm-{options['name']}"
            server = options["server"] or options["name"]
            answers = [diagnosing.container(remote, name, options["state_dir"], server, max(1, options["lines"]))]
        summary = [line for answer in answers for line in diagnosing.summary(answer)]
        if options["show"]:
            for line in summary:
                remote.say(line)
        result: dict[str, t.Any] = {"changed": False, "diagnoses": answers, "summary": summary}
        if what != "files" or len(answers) == 1:
            result.update({key: value for key, value in answers[0].items() if key != "path"})
        return result

    def _host(self, options: dict[str, t.Any], remote: _action.RemoteHost) -> dict[str, t.Any]:
        """All servers of the host, and what there is of them as one archive on the controller."""
        found = diagnosing.servers(remote, options["names"], options["state_dir"], max(1, options["lines"]))
        summary = [line for answer in found.answers for line in diagnosing.summary(answer)]
        if options["show"]:
            for line in summary or ["there is no server of the collection"]:
                remote.say(f"[{remote.host}] {line}")
        for name, look in found.looks.items() if options["show_log"] > 0 else ():
            nothing = "(no log)" if look.get("found", True) else "(there is no such container)"
            for line in (look.get("log") or [nothing])[-options["show_log"] :]:
                remote.say(f"[{remote.host}] {name} | {line}")
        result: dict[str, t.Any] = {"changed": False, "diagnoses": found.answers, "summary": summary, "archive": None}
        if not options["dest"] or self._task.check_mode:
            return result
        answers = {str(answer["container"]): answer for answer in found.answers}
        files = bundle.parts(
            remote.host, found.looks, answers, found.observation, summary, options["attach"],
            _action.collection_version(),
        )  # fmt: skip
        try:
            archive = bundle.write(self._loader.path_dwim(options["dest"]), remote.host, files)
        except OSError as problem:
            fix = "Name a folder or an archive that may be written."
            raise FindingsError([Finding("log.dest", "error", str(problem), "dest", fix)]) from None
        if options["show"]:
            remote.say(f"[{remote.host}] evidence: {archive}")
        return {**result, "changed": True, "archive": archive, "archived": sorted(files)}

    def _on_controller(self, path: str) -> str:
        """A path as the other tasks of a play take it: relative to the playbook, else to the working directory."""
        beside = self._loader.path_dwim(path)
        return beside if os.path.exists(beside) else os.path.abspath(os.path.expanduser(path))


def _exactly_one(options: t.Mapping[str, t.Any]) -> str:
    """What is to be judged: one thing, and what does not go with it is refused."""
    given = [name for name in ("container", "name", "names", "text", "files") if options[name] is not None]
    if len(given) != 1:
        said = f"{' and '.join(given)} are given together" if given else "it does not say what to judge"
        fix = "Give exactly one of `container`, `name`, `names`, `text` and `files`."
        raise FindingsError([Finding("log.what", "error", said, fix=fix)])
    if options["dest"] and given[0] != "names":
        fix = "Name the servers with `names`; an empty list means all."
        raise FindingsError([Finding("log.what", "error", "goes with `names` only", "dest", fix)])
    extra = [name for name in ("exit", "exit_code", "oom_killed") if options[name] is not None]
    if given[0] in {"container", "name", "names"} and extra:
        fix = "Leave it out: the engine knows how a container ended."
        raise FindingsError([Finding("log.exit", "error", "goes with `text` and `files` only", extra[0], fix)])
    return given[0]


def _exit(options: t.Mapping[str, t.Any]) -> t.Any:
    """The exit state that the task gives for all that have none of their own."""
    flat = {"exit_code": options["exit_code"], "oom_killed": options["oom_killed"]}
    flat = {key: value for key, value in flat.items() if value is not None}
    if not flat:
        return options["exit"]
    if isinstance(options["exit"], t.Mapping):
        return {**options["exit"], **flat}
    return flat if options["exit"] is None else {"code": options["exit"], **flat}
