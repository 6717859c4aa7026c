# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container toolkit proven by a container: what is asked, when, and what is made of what it showed."""

from __future__ import annotations

import json
import pathlib

import pytest

pytest.importorskip("pydantic")

from ansible_collections.cortex.vllm.plugins.plugin_utils import checks, converge, observation, spec, toolkit_proof
from ansible_collections.cortex.vllm.tests.unit.plugins.plugin_utils.host_double import IMAGE, server

HOSTS = pathlib.Path(__file__).parent / "data" / "hosts"
GOOD = """device /dev/nvidiactl
device /dev/nvidia-uvm
device /dev/nvidia0
library /usr/lib/x86_64-linux-gnu/libcuda.so.470.256.02
smi GPU 0: Tesla T4 (UUID: {uuid})
end
"""
#: As the engine passes it on (runc's words around the hook's, then libnvidia-container's).
HOOK = "OCI runtime create failed: error running hook #0: exit status 1, stdout: , stderr: {}: unknown"
NOT_LOADED = HOOK.format("nvidia-container-cli: initialization error: nvml error: driver not loaded")


def host(name="t4", known=None, **images):
    facts = json.loads((HOSTS / f"{name}.json").read_text())
    facts["host"] = {"boot_id": "b1", **(facts.get("host") or {})}
    facts["images"] = images or {IMAGE: {"id": "sha256:1", "known": known}}
    return observation.Observation.parse(facts)


def specs(**fields):
    return spec.load({"chat": server(**{"gpus": "all", "image": IMAGE, **fields})})


class Remote:
    host = "gpu1"

    def __init__(self, answer):
        self.answer, self.requests = answer, []

    def __call__(self, step, request, secrets=None):
        assert step == "image"
        self.requests.append(request)
        return {"done": True, "seconds": 1.0, **self.answer}

    def say(self, line):
        raise AssertionError(line)

    def reset(self):
        raise AssertionError


def uuid_of(seen):
    return seen.devices[0]["uuid"]


def good(seen):
    return GOOD.format(uuid=uuid_of(seen))


def judged(said, gpus="all", **proof):
    seen = host()
    proof = {"image": IMAGE, "uuids": [uuid_of(seen)], "said": said, "error": None, "why": None, **proof}
    facts = {**seen.raw, "contract": {**seen.contract, "proof": proof}}
    told = checks.Host(observation.Observation.parse(facts), tuple(specs(gpus=gpus)), "/var/lib/cortex-vllm")
    return [item for check in checks.HOST for item in check(told)]


def test_a_host_that_gives_its_gpus_to_containers_has_nothing_to_hear():
    assert judged(good(host())) == []


def test_what_is_asked_of_the_engine_is_what_servers_are_made_with():
    seen = host()
    remote = Remote({"answer": {"said": good(seen)}})

    after = toolkit_proof.proven(remote, "/state", seen, specs(user="1000:1000"))

    (request,) = remote.requests
    assert request["image"] == "sha256:1" and request["key"].startswith("toolkit-")
    wanted = {"Driver": "nvidia", "Count": 0, "DeviceIDs": [uuid_of(seen)], "Capabilities": [["gpu"]]}
    assert request["wants"] == {"host_config": {"DeviceRequests": [wanted]}, "user": "1000:1000"}
    assert toolkit_proof.told(after.contract) == {"image": IMAGE, "proven": True, "message": ""}


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_cdi_is_asked_for_where_servers_get_their_gpus_by_it(engine):
    seen = host()
    seen.engine["name"] = engine
    asked = toolkit_proof.question(seen, specs(gpu_access="cdi" if engine == "docker" else "auto"))
    assert asked.wants["host_config"]["DeviceRequests"] == [
        {"Driver": "cdi", "Count": 0, "DeviceIDs": [f"nvidia.com/gpu={uuid_of(seen)}"]}
    ]


def test_what_was_shown_once_is_not_asked_again_and_what_was_bad_is():
    key = toolkit_proof.question(host(), specs()).key
    nobody = Remote({})
    after = toolkit_proof.proven(nobody, "/state", host(known={"toolkit": {key: good(host())}}), specs())
    assert nobody.requests == [] and toolkit_proof.told(after.contract)["proven"] is True

    again = Remote({"answer": {"said": good(host())}})
    after = toolkit_proof.proven(again, "/state", host(known={"toolkit": {key: "end\n"}}), specs())
    assert len(again.requests) == 1 and toolkit_proof.told(after.contract)["proven"] is True


@pytest.mark.parametrize(
    ("part", "value"),
    [("gpus", {"driver": "580.95.05"}), ("host", {"boot_id": "b2"}), ("engine", {"version": "29.0.0"})],
)
def test_another_driver_boot_or_engine_is_proven_anew(part, value):
    before = toolkit_proof.question(host(), specs())
    seen = host()
    getattr(seen, part).update(value)
    assert toolkit_proof.question(seen, specs()).key != before.key


@pytest.mark.parametrize(
    ("name", "declared", "image", "images", "why"),
    [
        ("no-driver", True, None, {}, None),  # said already
        ("t4-no-toolkit", True, None, {}, None),  # said already
        ("cpu", True, None, {}, None),
        ("t4", True, "none", {}, None),
        ("t4", False, None, {}, None),  # nobody wants GPUs, and no image was named
        ("t4", True, None, {IMAGE: None}, "no image of a server"),
        ("t4", True, "busybox:1", {IMAGE: {"id": "sha256:1"}, "busybox:1": None}, "busybox:1 is not on the host"),
    ],
)
def test_where_nothing_is_asked(name, declared, image, images, why):
    nobody = Remote({})
    seen = toolkit_proof.proven(nobody, "/state", host(name, **images), specs() if declared else [], image)
    assert nobody.requests == []
    told = toolkit_proof.told(seen.contract)
    if why is None:
        assert told is None
    else:
        assert told["proven"] is None and why in told["message"]
        (found,) = toolkit_proof.judged(seen.contract["proof"], "error")
        assert (found.code, found.severity) == ("host.toolkit", "info")


def test_parts_of_divided_gpus_are_asked_for():
    asked = toolkit_proof.question(host("a100-mig"), specs())
    assert asked.uuids and all(uuid.startswith("MIG-") for uuid in asked.uuids)
    assert toolkit_proof.question(host("a100-mig-empty"), specs()) is None


def test_the_named_image_wins_over_the_declared_one():
    images = {IMAGE: {"id": "sha256:1"}, "debian:13": {"id": "sha256:2"}}
    assert toolkit_proof.question(host(**images), specs(), "debian:13").image_id == "sha256:2"
    assert toolkit_proof.question(host(**images), [], "debian:13").image_id == "sha256:2"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("end\n", "gpu.runtime", "no device of a GPU"),
        (GOOD.replace("device /dev/nvidiactl", "closed /dev/nvidiactl"), "gpu.device", "may not be opened"),
        (GOOD.format(uuid="GPU-00000000-0000-0000-0000-000000000000"), "gpu.absent", "is not there"),
        ("device /dev/nvidiactl\nsmi Failed to initialize NVML: Unknown Error\nend\n", "gpu.device", "lost"),
        ("smi Failed to initialize NVML: Driver/library version mismatch\n", "gpu.library-mismatch", "versions"),
        ("smi No devices found.\nend\n", "gpu.runtime", "No devices found."),
        ("device /dev/nvidiactl\nend\n", "gpu.runtime", "no device of a GPU"),
    ],
)
def test_what_a_container_shows_and_why_it_is_not_enough(said, code, words):
    (found,) = judged(said)
    assert (found.code, found.severity) == (code, "error") and words in found.message and IMAGE in found.message


def test_without_nvidia_smi_devices_are_counted_and_without_libcuda_nothing_runs():
    bare = "device /dev/nvidiactl\ndevice /dev/nvidia0\nlibrary /usr/lib64/libcuda.so.1\nend\n"
    assert judged(bare) == []
    (found,) = judged("device /dev/nvidiactl\ndevice /dev/nvidia0\nend\n")
    assert found.code == "gpu.runtime" and "libcuda" in found.message and "compute" in found.fix
    (found,) = judged(bare, uuids=["GPU-1", "GPU-2"])
    assert found.code == "gpu.absent" and "1 of 2 GPUs" in found.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NOT_LOADED, "gpu.driver"),
        (HOOK.format("nvidia-container-cli: initialization error: driver rpc error: timed out"), "gpu.driver"),
        (
            HOOK.format(
                "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open"
                " shared object file: no such file or directory"
            ),
            "gpu.driver",
        ),
        (
            HOOK.format("nvidia-container-cli: initialization error: nvml error: driver/library version mismatch"),
            "gpu.library-mismatch",
        ),
        (HOOK.format("nvidia-container-cli: device error: GPU-1: unknown device"), "gpu.absent"),
        (HOOK.format("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.9"), "gpu.driver"),
        (HOOK.format("nvidia-container-cli: initialization error: cuda error: unknown error"), "gpu.runtime"),
        (
            HOOK.format("nvidia-container-cli: mount error: failed to add device rules: bpf_prog_query failed"),
            "gpu.runtime",
        ),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "gpu.runtime"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-1", "gpu.absent"),
        (
            "OCI runtime create failed: error running hook #0: fork/exec /usr/bin/nvidia-container-runtime-hook: no"
            " such file or directory",
            "gpu.runtime",
        ),
        ("the image did not answer within 90 s", "gpu.runtime"),
    ],
)
def test_why_the_container_could_not_be_started(error, code):
    (found,) = judged(None, error=error)
    assert (found.code, found.severity) == (code, "error") and IMAGE in found.message and found.fix
    (found,) = judged(None, gpus="none", error=error)
    assert found.severity == "warning"


def test_an_image_without_a_shell_proves_nothing_and_blames_nobody():
    (found,) = judged(None, error='exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown')
    assert (found.code, found.severity) == ("host.toolkit", "info") and "contract_image" in found.fix


class Whole(Remote):
    """A host that answers a converge's look too."""

    def __init__(self, seen, answer):
        super().__init__(answer)
        self.seen, self.looked = seen, []

    def __call__(self, step, request, secrets=None):
        if step == "observe":
            self.looked.append(request)
            return {"observation": self.seen.raw}
        return super().__call__(step, request, secrets)


@pytest.mark.parametrize("image", [None, "debian:13"])
def test_the_check_of_a_host_proves_its_toolkit_and_a_converge_does_not(image):
    seen = host(**{IMAGE: {"id": "sha256:1"}, "debian:13": {"id": "sha256:2"}})
    remote = Whole(seen, {"message": NOT_LOADED})
    settings = converge.Settings(contract=True, contract_image=image, check_mode=True, steps=())

    result = converge.Converge(specs(), settings, remote).run()

    assert [request["image"] for request in remote.requests] == ["sha256:2" if image else "sha256:1"]
    assert ("debian:13" in remote.looked[0]["images"]) is bool(image)
    assert result["toolkit"]["proven"] is False and "no working NVIDIA driver" in result["toolkit"]["message"]
    assert [item["severity"] for item in result["findings"] if "no working NVIDIA" in item["message"]] == ["error"]

    bare = Whole(seen, {})
    assert "toolkit" not in converge.Converge([], converge.Settings(steps=()), bare).run()
    assert bare.requests == [] and "contract" not in bare.looked[0]
