# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What all actions of the collection share. The one file of the brains that may import Ansible.

It stands here and not beside the actions because every file there must be an action with documentation of its own.
"""

from __future__ import annotations

import functools
import json
import pathlib
import typing as t
from collections.abc import Iterable, Mapping

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from . import _pydantic, catalog, converge, following, nodes, task_options
from .findings import Finding, FindingsError, errors, ordered, text
from .transport import archive, pulling, work

display = Display()

#: Where this collection lies.
COLLECTION = pathlib.Path(__file__).resolve().parents[2]

#: The one private module that reaches a host, see docs/contract.md.
ENGINE = "cortex.vllm._engine"

# Reading the catalogue's index takes longer than a plan. Done at import, every forked worker inherits it.
catalog.versions()


class RemoteHost:
    """The host of one task, as the brains see it (:class:`following.Remote`)."""

    def __init__(self, action: ActionBase, connection: Mapping[str, t.Any], task_vars: dict[str, t.Any]) -> None:
        self.host = str(task_vars.get("inventory_hostname") or "?")
        self.calls = 0
        self.kept: dict[str, t.Any] = {}
        self._action = action
        self._connection = dict(connection)
        self._task_vars = task_vars

    def __call__(
        self, step: str, request: Mapping[str, t.Any], secrets: Mapping[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Execute the private module once.

        :raises following.Lost: when the connection broke or never came up
        :raises following.RemoteError: when the module failed
        """
        args: dict[str, t.Any] = {"step": step, "request": dict(request), **self._connection}
        if secrets:
            args["secrets"] = dict(secrets)
        self.calls += 1
        try:
            answer = dict(self._action._execute_module(module_name=ENGINE, module_args=args, task_vars=self._task_vars))
        except AnsibleConnectionFailure as problem:
            raise following.Lost(str(problem), problem) from None
        # The invocation would carry the whole plan into registered variables; facts say which interpreter was found.
        answer.pop("invocation", None)
        self._keep(answer)
        if answer.get("failed"):
            garbled = "module_stdout" in answer or "module_stderr" in answer
            python = getattr(self._action, "_used_interpreter", None) if garbled and answer.get("rc") else None
            raise following.RemoteError(_remote_text(answer, python), garbled)
        return answer

    def put(self, path: str) -> str:
        """Copy a file of the controller to the host, where the module finds it; returns its path there.

        :raises following.Lost: when the connection broke
        """
        shell = self._action._connection._shell
        try:
            if shell.tmpdir is None:
                self._action._make_tmp_path()
            target = shell.join_path(shell.tmpdir, "cortex-vllm-part")
            self._action._connection.put_file(path, target)
            self._action._fixup_perms2((shell.tmpdir, target))
        except AnsibleConnectionFailure as problem:
            raise following.Lost(str(problem), problem) from None
        return str(target)

    def say(self, line: str) -> None:
        """Show a progress line now, unless the task is not to be logged."""
        if not self._action._task.no_log:
            display.display(f"  {line}")

    def reset(self) -> None:
        """Forget the broken connection, so that the next call opens a new one."""
        reset = getattr(self._action._connection, "reset", None)
        if reset is not None:
            try:
                reset()
            except Exception as problem:  # whatever a connection plugin raises here, the next call says it better
                display.vvv(f"reset of the connection: {problem}", host=self.host)

    def _keep(self, answer: dict[str, t.Any]) -> None:
        facts = answer.pop("ansible_facts", None)
        if facts:
            self.kept.setdefault("ansible_facts", {}).update(facts)
        for key in ("warnings", "deprecations"):
            for item in answer.pop(key, None) or ():
                if item not in self.kept.setdefault(key, []):
                    self.kept[key].append(item)


class BrainsAction(ActionBase):
    """An action of the collection: subclasses say what they do in :meth:`act`.

    ``SPEC`` is the argument specification of the options that are no declaration; ``EXTRA`` names the options that
    :meth:`act` reads as they are, tags of file and line included.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    SPEC: t.ClassVar[dict[str, dict[str, t.Any]]] = {}

    #: Warnings stay in the result and are not shown.
    quiet = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        del tmp  # tmp no longer has any effect

        try:
            _pydantic.require()
        except RuntimeError as problem:
            raise AnsibleActionFail(str(problem)) from None
        options = self.options()
        remote = RemoteHost(
            self, {name: options[name] for name in task_options.CONNECTION if name in options}, task_vars
        )
        try:
            outcome = self.act(options, remote, task_vars)
        except FindingsError as problem:
            raise self.refusal(problem.findings, remote) from None
        except converge.ConvergeError as problem:
            raise AnsibleActionFail(str(problem), result=self._whole({}, problem.result, remote)) from None
        except (following.RemoteError, work.WorkError, pulling.PullError, archive.ArchiveError) as problem:
            told = {"changed": False, "findings": problem.findings} if isinstance(problem, pulling.PullError) else {}
            raise AnsibleActionFail(str(problem), result=self._whole({}, told or {"changed": False}, remote)) from None
        except following.Lost as problem:
            if isinstance(problem.original, AnsibleConnectionFailure) and remote.calls == 1:
                raise problem.original from None
            # "from None": the message of a cause would be shown a second time.
            raise AnsibleConnectionFailure(str(problem)) from None
        return self._whole(result, outcome, remote)

    def act(self, options: dict[str, t.Any], remote: RemoteHost, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Do the work and return the result.

        :raises FindingsError: ``ConvergeError``, ``Lost`` and ``RemoteError`` are told to the person by :meth:`run`
        """
        raise NotImplementedError

    def options(self) -> dict[str, t.Any]:
        """The options of the task that ``SPEC`` knows, with defaults; the others stay in ``self._task.args``.

        Declarations are left out of this, because only their models know them, and because the conversion would lose
        the tags that say in which file and line a value stands.
        """
        given = {name: value for name, value in self._task.args.items() if name in self.SPEC}
        return _validated(self, given)

    def declaration(self) -> dict[str, t.Any]:
        """What the task says about its one server or container: all that is no option of the task itself."""
        return {name: value for name, value in self._task.args.items() if name not in self.SPEC}

    def write(
        self, content: str, options: t.Mapping[str, t.Any], mode: str, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Write ``dest`` with core's own copy action, which compares, keeps check mode and makes the diff.

        :param mode: unless the options say one
        """
        args = {"content": content, "dest": options["dest"], "mode": options["mode"] or mode}
        args.update({name: options[name] for name in ("owner", "group") if options[name]})
        task = self._task.copy()
        task.args = args
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        done = dict(copy.run(task_vars=task_vars))
        done.pop("invocation", None)
        if done.get("failed"):
            raise FindingsError([Finding("args.dest", "error", str(done.get("msg")), field="dest")])
        kept = {"changed": bool(done.get("changed")), "dest": options["dest"]}
        return {**kept, "diff": done["diff"]} if done.get("diff") else kept

    def refusal(self, found: Iterable[Finding], remote: RemoteHost | None = None) -> AnsibleActionFail:
        """The failure that these findings are: one line each, pointing at the first value that is to blame."""
        found = ordered(found)
        found = errors(found) or found
        blamed = next((finding.origin for finding in found if finding.origin is not None), None)
        result = self._whole({}, {"changed": False, "findings": [finding.as_dict() for finding in found]}, remote)
        # What is wrong in the defaults is wrong in each server, and told once.
        message = "\n".join(dict.fromkeys(text(found).splitlines()))
        problem = AnsibleActionFail(message, obj=blamed, result=result)
        context = getattr(problem, "_formatted_source_context", None) or ""
        if context.startswith("Origin: <unknown>"):  # a templated value, which stands in no file
            return AnsibleActionFail(message, result=result)
        # Ansible shows the lines above the blamed one as well. A secret there stays there.
        if any(secret in context for secret in task_options.plain_secrets(self._task.args)):
            return AnsibleActionFail(f"{message}\n{context.splitlines()[0]}", result=result)
        return problem

    def _whole(
        self, result: dict[str, t.Any], outcome: Mapping[str, t.Any], remote: RemoteHost | None
    ) -> dict[str, t.Any]:
        """The task's result: JSON values only, with what Ansible itself wants to keep."""
        result.update(_plain(outcome))
        if remote is not None:
            result["remote_calls"] = remote.calls
            for key in ("warnings", "deprecations"):
                if remote.kept.get(key):
                    result[key] = [*remote.kept[key], *result.get(key, [])]
            if "ansible_facts" in remote.kept:
                result["ansible_facts"] = remote.kept["ansible_facts"]
        warned = [Finding(**row) for row in result.get("findings") or () if row.get("severity") == "warning"]
        for finding in warned:
            if not self.quiet and not self._task.no_log:
                display.warning(f"[{remote.host if remote else '?'}] {finding}")
        return result


class ConvergingAction(BrainsAction):
    """An action that converges declarations of one host."""

    def settings(
        self, options: Mapping[str, t.Any], task_vars: Mapping[str, t.Any], **more: t.Any
    ) -> converge.Settings:
        """What the options of the task mean for the spine."""
        return converge.Settings(
            state_dir=str(options["state_dir"]),
            update=options["update"],
            wait=options["wait"],
            check_mode=bool(self._task.check_mode),
            diff=bool(self._task.diff),
            address=reachable_address(self._connection, task_vars),
            collection_version=collection_version(),
            registries=pulling.checked(options["registries"]),
            **more,
        )

    def converge_one(
        self,
        declared: t.Any,
        options: Mapping[str, t.Any],
        remote: RemoteHost,
        task_vars: Mapping[str, t.Any],
        key: str,
    ) -> dict[str, t.Any]:
        """Converge one declaration; its own row of the result stands under ``key`` as well."""
        # Others on the host are somebody else's business: they are seen (GPUs, ports), never reported.
        result = self.converge([declared], self.settings(options, task_vars, prune="ignore"), options, remote)
        result[key] = (result.get("servers") or {}).get(declared.name, {})
        return result

    def converge(
        self, specs: t.Sequence[t.Any], settings: converge.Settings, options: Mapping[str, t.Any], remote: RemoteHost
    ) -> dict[str, t.Any]:
        """Converge, or follow what an earlier task left pending."""
        spine = converge.Converge(specs, settings, remote)
        if options["follow"] is not None:
            return spine.resume(options["follow"])
        return spine.run()


def reachable_address(connection: t.Any, task_vars: Mapping[str, t.Any]) -> str:
    """The address under which the controller reaches the host of the task; the loopback one for this machine."""
    if getattr(connection, "transport", "") in {"local", "ansible.builtin.local"}:
        return "127.0.0.1"
    return str(task_vars.get("ansible_host") or task_vars.get("inventory_hostname") or "")


def address_of(host: str, task_vars: Mapping[str, t.Any]) -> str | None:
    """The address of another host of the inventory by which its like reach it; None when it tells none."""
    try:
        known = (task_vars.get("hostvars") or {})[host]
        words = [known.get("vllm_address"), known.get("ansible_host"), host]
    except Exception:  # a host that is not in the inventory, or whose variables do not template: told as no address
        return None
    return next((found for word in words if word and (found := nodes.literal(word))), None)


@functools.lru_cache(maxsize=1)
def collection_version() -> str:
    """The version of this collection, of its manifest where it was installed, else of its galaxy.yml."""
    manifest, source = COLLECTION / "MANIFEST.json", COLLECTION / "galaxy.yml"
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    lines = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("version:")), "")


def _validated(action: BrainsAction, given: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Check and convert options by ``SPEC``; a wrong one is named, its value is not shown when it is a secret."""
    verdict = ArgumentSpecValidator(action.SPEC).validate(dict(given))
    if verdict.error_messages:
        # Where a type does not fit, the message goes on with the name of a class, which says nothing to a person.
        told = [message.partition(": <class '")[0] for message in verdict.error_messages]
        raise AnsibleActionFail("; ".join(told), obj=action._task.args)
    options = t.cast("dict[str, t.Any]", verdict.validated_parameters)
    for name, said in task_options.senseless(options):
        raise AnsibleActionFail(f"{name}: {said}", obj=given.get(name))
    return options


def _plain(value: t.Any) -> t.Any:
    """JSON and nothing else: an Enum, a Path or a model in a result breaks callbacks while the task stays ok."""
    return json.loads(json.dumps(value, default=str))


def _remote_text(answer: Mapping[str, t.Any], python: str | None = None) -> str:
    """The message of a failed module, without the traceback's pages.

    :param python: the interpreter that ended with an error before anything of the module was heard
    """
    message = str(answer.get("msg") or "the host answered nothing readable")
    noise = str(answer.get("module_stderr") or "").strip().splitlines()
    if python and "Traceback" not in str(answer.get("module_stderr")):
        # A shell or a wrapper says first what it could not do; the module itself never began.
        said = next((line.strip() for line in noise if line.strip()), message)
        return (
            f"{python.lstrip('!#')} does not run the module on the host: {said.rstrip('.')}. Set "
            "ansible_python_interpreter to a Python of the host, such as /usr/bin/python3."
        )
    return f"{message}: {noise[-1]}" if noise else message
