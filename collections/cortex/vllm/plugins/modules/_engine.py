#!/usr/bin/python
# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: _engine
short_description: The hands of the collection on a host (internal)
version_added: 0.1.0
description:
  - B(Internal.) The tasks of this collection call it; it can change at any time. Use M(cortex.vllm.servers) instead.
  - One step of the work on a host. What it is asked and what it answers is described in C(docs/contract.md) of the
    project's repository.
extends_documentation_fragment:
  - cortex.vllm._attributes
  - cortex.vllm._engine
attributes:
  check_mode:
    support: full
    details:
      - The steps V(observe), V(watch), V(probe), V(stock), V(strangers) and V(evidence) only read. In check mode the
        others do nothing, and say so; but V(image) proves the container toolkit there too, in a container that it
        removes.
  diff_mode:
    support: none
  idempotent:
    support: none
options:
  step:
    description: What to do.
    type: str
    required: true
    choices:
      - observe
      - apply
      - watch
      - fetch
      - probe
      - image
      - strangers
      - adopt
      - evidence
      - model
      - stock
      - pack
      - prove
      - place
      - receive
      - download
      - lend
  request:
    description: What the step is asked for.
    type: dict
    required: true
  secrets:
    description: Secret values by server and name for the step V(apply), of a registry for V(fetch), of the Hub for
      V(download), of what is lent for V(lend) and V(place).
    type: dict
    default: {}
author:
  - Cortex vLLM contributors (@cortex)
"""

EXAMPLES = r"""
- name: Look at a host, as the tasks of the collection do
  cortex.vllm._engine:
    step: observe
    request:
      schema: 1
      state_dir: /var/lib/cortex-vllm
      servers: []
  register: look
"""

RETURN = r"""
observation:
  description: The state of the host.
  type: dict
  returned: step is V(observe)
job:
  description: The identifier of the job that was left behind on the host.
  type: str
  returned: step is V(apply)
jobs:
  description: For each server its job and where to begin to follow its journal.
  type: dict
  returned: step is V(apply)
servers:
  description: For each server the new events of its journal, the next offset and whether the job lives.
  type: dict
  returned: step is V(watch)
waited:
  description: Seconds that the call waited.
  type: float
  returned: step is V(watch)
done:
  description: Whether the work has ended.
  type: bool
  returned: step is V(fetch), V(image), V(model), V(pack), V(prove), V(place) or V(download)
stock:
  description: What the host has of images, models and a bundle.
  type: dict
  returned: step is V(stock)
port:
  description: The port at which models are lent; none when that has ended.
  type: int
  returned: step is V(lend)
have:
  description: Bytes of a file that have arrived.
  type: int
  returned: step is V(receive)
result:
  description: What the work came to; none while it goes on, or when it failed.
  type: dict
  returned: step is V(pack), V(prove), V(place) or V(download)
own:
  description: Whether the work that was followed is the one that was asked for.
  type: bool
  returned: step is V(pack), V(prove), V(place) or V(download)
models:
  description: For each key what a look at the model's files found.
  type: dict
  returned: step is V(model) and it was asked to look
steps:
  description: What is to be done for a model, or was.
  type: list
  elements: dict
  returned: step is V(model) and it was asked to plan or make
image_id:
  description: The identifier of the image; none when the pull failed or the image is not there.
  type: str
  returned: step is V(fetch) or V(image)
answer:
  description: What the image answered; none while it is asked, or when it could not be asked.
  type: dict
  returned: step is V(image)
started:
  description: Whether a container was started for it; files of an image are read without.
  type: bool
  returned: step is V(image)
progress:
  description: Layers and bytes so far.
  type: dict
  returned: step is V(fetch)
containers:
  description: Containers that run vLLM and that this collection did not create, without secret values.
  type: list
  elements: dict
  returned: step is V(strangers)
missing:
  description: Names that were asked for and that no such container has.
  type: list
  elements: str
  returned: step is V(strangers)
adopted:
  description: Names of the servers whose containers were taken over now.
  type: list
  elements: str
  returned: step is V(adopt)
refused:
  description: Why the others could not be, by name.
  type: dict
  returned: step is V(adopt)
state:
  description: Whether the container is ready, loading, failed, absent or stopped.
  type: str
  returned: step is V(probe)
evidence:
  description: Log, state and inspect of a container, and what our jobs wrote about it, without secrets.
  type: dict
  returned: step is V(evidence)
message:
  description: What there is to say about it.
  type: str
  returned: step is V(fetch), V(image), V(probe), V(pack), V(prove), V(place), V(download), or check mode
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cortex.vllm.plugins.module_utils import connection, files

SCHEMA = 1
STEPS = (
    "observe", "apply", "watch", "fetch", "probe", "image", "model", "stock", "pack", "prove", "place", "receive",
    "download", "lend", "evidence", "strangers", "adopt",
)  # fmt: skip


def run_step(module):
    """The answer of the step. Each one loads its own part only: what comes in an archive is compiled each time."""
    params, request = module.params, module.params["request"]
    step = params["step"]
    if step == "observe":
        from ansible_collections.cortex.vllm.plugins.module_utils import observe

        return {"observation": observe.observe(request, params, module)}
    if step == "watch":
        from ansible_collections.cortex.vllm.plugins.module_utils import watch

        return watch.watch(request)
    if step == "probe":
        from ansible_collections.cortex.vllm.plugins.module_utils import look

        return look.look(request, params)
    if step == "strangers":
        from ansible_collections.cortex.vllm.plugins.module_utils import adopting

        return adopting.strangers(request, params)
    if step == "evidence":
        from ansible_collections.cortex.vllm.plugins.module_utils import evidence

        return {"evidence": evidence.evidence(request, params)}
    if step == "stock":
        from ansible_collections.cortex.vllm.plugins.module_utils import bundles

        return {"stock": bundles.stock(request, params)}
    if step == "model" and (request.get("do") in ("look", "plan", "verify") or not module.check_mode):
        from ansible_collections.cortex.vllm.plugins.module_utils import model_work

        return model_work.model(request)
    # A look that the contract check needs: it takes nothing from anybody, and a check without it has proven nothing.
    proof = step == "image" and str(request.get("key")).startswith("toolkit-")
    if module.check_mode and not proof:
        text = "check mode: nothing was done"
        if step == "adopt":
            return {"adopted": [], "refused": {}, "message": text}
        if step == "apply":
            return {"job": request.get("job"), "jobs": {}, "message": text}
        return {"done": False, "image_id": None, "message": text, "progress": {}}
    if step == "image":
        from ansible_collections.cortex.vllm.plugins.module_utils import inside

        return inside.inside(request, params)
    if step == "adopt":
        from ansible_collections.cortex.vllm.plugins.module_utils import adopting

        return adopting.adopt(request, params)
    if step == "fetch":
        from ansible_collections.cortex.vllm.plugins.module_utils import fetch

        return fetch.fetch(request, params)
    if step in ("pack", "prove"):
        from ansible_collections.cortex.vllm.plugins.module_utils import bundles

        return bundles.pack(request, params) if step == "pack" else bundles.prove(request)
    if step in ("place", "receive"):
        from ansible_collections.cortex.vllm.plugins.module_utils import placing

        return placing.place(request, params) if step == "place" else placing.receive(request)
    if step == "lend":
        from ansible_collections.cortex.vllm.plugins.module_utils import lending

        return lending.lend(request, params["secrets"])
    if step == "download":
        from ansible_collections.cortex.vllm.plugins.module_utils import download

        return download.download(request, params["secrets"])
    from ansible_collections.cortex.vllm.plugins.module_utils import job

    return dict(job.apply(request, params["secrets"], params, module), changed=True)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            step={"type": "str", "required": True, "choices": list(STEPS)},
            request={"type": "dict", "required": True},
            secrets={"type": "dict", "default": {}, "no_log": True},
            **connection.CONNECTION,
        ),
        supports_check_mode=True,
    )
    schema = module.params["request"].get("schema")
    if schema != SCHEMA:
        module.fail_json(
            msg="the request has schema {0}, the module on the target knows {1}: controller and target run different "
            "versions of cortex.vllm".format(schema, SCHEMA)
        )
    if module.params["step"] not in ("watch", "model"):
        connection.respawn_if_needed()
    try:
        answer = run_step(module)
    except connection.EngineError as exc:
        module.fail_json(msg=exc.full(), kind=exc.kind)
    except files.RequestRefused as exc:
        module.fail_json(msg=str(exc), kind="refused")
    except files.FilesError as exc:
        module.fail_json(msg=str(exc), kind="refused")
    except (OSError, ValueError, KeyError) as exc:
        module.fail_json(msg=files.explain_request(exc, module.params["request"]), kind="files")
    module.exit_json(**dict({"changed": False}, **answer))


if __name__ == "__main__":
    main()
