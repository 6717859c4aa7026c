# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which GPUs a declaration means, however it is written, and which ones they are on a host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError
from ansible_collections.cortex.vllm.plugins.plugin_utils.gpu_selection import GpuSelection, parse, resolve

GPU = "GPU-{0}{0}{0}{0}{0}{0}{0}{0}-1111-2222-3333-444444444444"
A, B, C, D = (GPU.format(letter) for letter in "abcd")
MIG = "MIG-01234567-89ab-cdef-0123-456789abcdef"
OLD_MIG = f"MIG-{A}/1/0"


@pytest.mark.parametrize(
    "written, canonical",
    [
        (2, 2),
        (1, 1),
        ({"count": 3}, 3),
        ({"count": "3"}, 3),
        ([0, 1], [0, 1]),
        ((1, 0), [0, 1]),
        (["0", "1"], [0, 1]),
        ("0,1", [0, 1]),
        (" 1 , 0 ", [0, 1]),
        ("0", [0]),
        ("2", [2]),
        ("07", [7]),
        ("[0, 1]", [0, 1]),
        ('["0","1"]', [0, 1]),
        ("['0', '1']", [0, 1]),
        (json.dumps('["0","1"]'), [0, 1]),
        (json.dumps(json.dumps([0, 1])), [0, 1]),
        ('"0"', [0]),
        ("0-3", [0, 1, 2, 3]),
        (["0-1", 3], [0, 1, 3]),
        (["0,1", 2], [0, 1, 2]),
        ("0-1,4-5", [0, 1, 4, 5]),
        (A, [A]),
        ([B, A], [A, B]),
        (f"{A},{B}", [A, B]),
        (A.upper(), [A]),
        (MIG, [MIG]),
        (OLD_MIG, [OLD_MIG]),
        ("all", "all"),
        (" None ", "none"),
        ("ALL", "all"),
    ],
)
def test_every_way_to_write_it_has_one_form(written: Any, canonical: Any) -> None:
    selection = parse(written)
    assert selection.canonical() == canonical
    assert parse(selection.canonical()) == selection
    assert parse(selection) is selection
    assert bool(selection) is (canonical != "none")


@pytest.mark.parametrize(
    "written, message",
    [
        (0, "a number is a count of GPUs, and this one is 0. Write none for no GPU, [0] for the GPU with index 0."),
        (-1, "-1 is negative"),
        (4096, "no host has 4096"),
        ({"count": -1}, "not a whole number"),
        ({"count": True}, "not a whole number"),
        ({"indexes": [0]}, "may only say count"),
        ([-1], "-1 is negative; indexes begin at 0"),
        ("-1", "-1 is negative"),
        ("0,0", "GPU 0 is named twice"),
        (["0-2", 1], "GPU 1 is named twice"),
        ([A, A.upper()], "is named twice"),
        ([0, A], "UUIDs of GPUs and indexes are mixed"),
        ([A, MIG], "UUIDs of GPUs and UUIDs of MIG devices are mixed"),
        ([], "an empty selection"),
        ("", "an empty selection"),
        ("[]", "an empty selection"),
        (None, "null does not say which GPUs"),
        (True, "true does not say which GPUs"),
        ([True], "True is neither an index nor a UUID"),
        ([1.5], "1.5 is neither an index nor a UUID"),
        (1.5, "a float does not say which GPUs"),
        ("0,", "the list has an empty place"),
        ("3-1", "the range 3-1 runs backwards. Write 1-3."),
        ("0-9999", "larger than any host"),
        ("99999", "no host has that many"),
        ("GPU-123", "GPU-123 is not a whole UUID"),
        ("MIG-1", "MIG-1 is not a whole UUID"),
        ("0:1", "names a MIG device by position"),
        ("gpu0", "'gpu0' is neither an index nor a UUID"),
        (["all"], "all cannot stand in a list. Write gpus: all."),
        ('"0', "not readable"),
        ("²", "neither an index"),
    ],
)
def test_what_is_refused_says_what_to_write(written: Any, message: str) -> None:
    with pytest.raises(FindingsError) as caught:
        parse(written, "vllm_servers[chat].gpus")
    (finding,) = caught.value.findings
    assert finding.code == "gpu.selection" and finding.field == "vllm_servers[chat].gpus"
    assert finding.origin is written
    assert message in str(finding)
    assert finding.fix


def device(index: int, uuid: str, **more: Any) -> dict[str, Any]:
    return {"index": index, "uuid": uuid, "mig": [], "mig_mode": "Disabled", "processes": [], **more}


HOST = [device(1, B), device(0, A), device(2, C), device(3, D)]


@pytest.mark.parametrize(
    "written, uuids",
    [
        ("none", []),
        ("all", [A, B, C, D]),
        ([2, 0], [A, C]),
        ([C, A], [A, C]),
        (2, [A, B]),
    ],
)
def test_selections_on_a_host(written: Any, uuids: list[str]) -> None:
    assert resolve(parse(written), HOST) == uuids


def test_none_needs_no_gpu() -> None:
    assert resolve(GpuSelection("none"), []) == []


def test_a_count_keeps_what_it_has() -> None:
    assert resolve(parse(2), HOST, previous=[D, C]) == [C, D]
    assert resolve(parse(1), HOST, previous=[D, C]) == [C]
    assert resolve(parse(3), HOST, previous=[D]) == [A, B, D]


def test_a_count_leaves_what_others_declared() -> None:
    assert resolve(parse(2), HOST, taken={A, C}) == [B, D]
    assert resolve(parse(1), HOST, previous=[A], taken={A}) == [B]


def test_a_count_prefers_gpus_that_nobody_uses() -> None:
    host = [device(0, A, processes=[{"pid": 1}]), device(1, B), device(2, C)]
    assert resolve(parse(2), host) == [B, C]
    assert resolve(parse(3), host) == [A, B, C]
    assert resolve(parse(1), host, previous=[A]) == [A], "its own process keeps it busy"


def test_a_count_is_the_same_at_every_run() -> None:
    first = resolve(parse(2), HOST, taken={B})
    assert resolve(parse(2), list(reversed(HOST)), previous=first, taken={B}) == first


def test_vanished_gpus_are_replaced() -> None:
    assert resolve(parse(2), HOST[:2], previous=[C, A]) == [A, B]


MIG_HOST = [device(0, A, mig_mode="Enabled", mig=[{"uuid": MIG, "profile": "1g.10gb"}]), device(1, B)]


def test_mig_devices_are_found_by_uuid_and_split_gpus_are_not_counted() -> None:
    assert resolve(parse(MIG), MIG_HOST) == [MIG]
    assert resolve(parse(1), MIG_HOST) == [B]
    assert resolve(parse("all"), MIG_HOST) == [B, MIG]


@pytest.mark.parametrize(
    "written, devices, code, message",
    [
        ("all", [], "gpu.absent", "this host shows no GPU"),
        (1, [], "gpu.absent", "Write gpus: none"),
        ([7], HOST, "gpu.absent", "no GPU with index 7 (it has 0, 1, 2, 3)"),
        ([GPU.format("e")], HOST, "gpu.absent", "this host has no GPU GPU-eeeeeeee"),
        ([0], MIG_HOST, "gpu.mig", "GPU 0 is split by MIG"),
        ([A], MIG_HOST, "gpu.absent", "no GPU"),
        (5, HOST, "gpu.not-enough", "5 GPUs are wanted, 4 of 4 are not taken"),
    ],
)
def test_what_a_host_cannot_give(written: Any, devices: list[dict[str, Any]], code: str, message: str) -> None:
    with pytest.raises(FindingsError) as caught:
        resolve(parse(written), devices, field="f", server="chat")
    (finding,) = caught.value.findings
    assert (finding.code, finding.field, finding.server, finding.severity) == (code, "f", "chat", "error")
    assert message in str(finding)


def test_a_count_that_others_make_impossible() -> None:
    with pytest.raises(FindingsError, match="2 GPUs are wanted, 1 of 4"):
        resolve(parse(2), HOST, taken={A, B, C})
