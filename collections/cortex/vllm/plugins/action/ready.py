# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.cortex.vllm.plugins.plugin_utils import _action, endpoints, probing, task_options
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding, FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.rendering import asking


class ActionModule(_action.BrainsAction):
    """Wait until a server gives a token, with phases; end at once when it dies, with a diagnosis."""

    SPEC = {
        **task_options.CONNECTION,
        "name": {"type": "str"},
        "container_name": {"type": "str"},
        "url": {"type": "str"},
        "server_port": {"type": "int"},
        "address": {"type": "str", "default": "127.0.0.1"},
        "served_model_name": {"type": "str"},
        "request": {"type": "str", "choices": ["completion", *asking.QUESTIONS]},
        "token": {"type": "bool", "default": True},
        "api_key": {"type": "str", "no_log": True},
        "wait_timeout": {"type": "float", "default": 600.0},
        "token_timeout": {"type": "float", "default": 120.0},
        "request_timeout": {"type": "float", "default": 5.0},
        "validate_certs": {"type": "bool", "default": True},
        **task_options.STATE_DIR,
    }

    def act(
        self, options: dict[str, t.Any], remote: _action.RemoteHost, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        task_options.refuse_unknown(self._task.args, self.SPEC)
        _exactly_one(options)
        # A look, not a wait: nothing that check mode left undone can become ready.
        wait = 0.0 if self._task.check_mode else options["wait_timeout"]
        if options["request"]:
            options = {**options, "probe": probing.question(remote, options, options["request"])}
        if not options["url"]:
            return probing.wait(remote, options, wait)
        answer = endpoints.wait_ready(
            {"url": endpoints.checked_url(options["url"], "url"), "name": "", "api_key": options["api_key"]},
            wait=wait,
            model=options["served_model_name"],
            token=options["token"],
            timeout=options["request_timeout"],
            token_timeout=options["token_timeout"],
            verify=options["validate_certs"],
            say=lambda line: remote.say(f"[{remote.host}] {line}"),
        )
        return probing.verdict(answer, wait, answer["url"])


def _exactly_one(options: t.Mapping[str, t.Any]) -> None:
    """One thing to wait for, and only what goes with it."""
    given = [name for name in ("name", "container_name", "url") if options[name]]
    if len(given) != 1:
        said = f"{' and '.join(given)} are given together" if given else "it does not say what to wait for"
        raise FindingsError(
            [Finding("ready.what", "error", said, fix="Give exactly one of `name`, `container_name` and `url`.")]
        )
    if options["request"] and (not options["name"] or options["server_port"]):
        raise FindingsError(
            [
                Finding(
                    "ready.what",
                    "error",
                    "goes with `name` only: the release in its image decides how it is asked",
                    field="request",
                    fix="Leave it out, or give the `name` of a declared server and nothing else to find it by.",
                )
            ]
        )
    if options["api_key"] and not options["url"]:
        raise FindingsError(
            [
                Finding(
                    "ready.api-key",
                    "error",
                    "goes with `url` only",
                    field="api_key",
                    fix="Leave it out: a server on the host is asked with the key that lies there.",
                )
            ]
        )
