# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The spine through its action: how many calls, in which order, and what a person and a registered variable get."""

from __future__ import annotations

import json
import typing as t

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("httpx")

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ansible_collections.cortex.vllm.plugins.action import container, server, servers
from ansible_collections.cortex.vllm.plugins.plugin_utils import _action
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import Finding
from ansible_collections.cortex.vllm.tests.unit.plugins.action.fakes import (
    FakePlan,
    ServerPlan,
    done,
    observed,
    order,
    returned,
    watched,
)

CHAT = {"chat": {"image": "vllm/vllm-openai:v0.32.0", "model": "/models/x"}}
NOTHING = FakePlan([ServerPlan("chat")])
CREATE = FakePlan([ServerPlan("chat", "create", "absent")], {"chat": order()})
BEGUN = {"job": "j1", "jobs": {"chat": {"job": "j1", "offset": 0}}}


def test_nothing_to_do_is_one_call(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING)
    played = play(servers, [observed()], servers=CHAT)

    result = played.run()

    assert played.steps == ["observe"]
    assert (result["changed"], result["remote_calls"], result["pending"]) == (False, 1, [])
    assert played.shown == []


def test_create_is_observe_apply_watch(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    events = [{"event": "created", "container_id": "c1"}, {"event": "ready", "seconds": 8.0, "token": "4"}]
    played = play(
        servers,
        [
            observed(),
            BEGUN,
            watched({"chat": events}),
            watched({"chat": [{"event": "committed", "generation": "g1"}, done()]}),
        ],
        servers=CHAT,
    )

    result = played.run()

    assert played.steps == ["observe", "apply", "watch", "watch"]
    assert result["changed"] is True
    assert result["servers"]["chat"]["container_id"] == "c1"
    assert result["servers"]["chat"]["generation"] == "g1"
    assert result["servers"]["chat"]["token"] == "4"
    assert played.request(3)["jobs"]["chat"] == {"job": "j1", "offset": 10}


def test_secrets_travel_apart_and_never_come_back(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    played = play(
        servers,
        [observed(), {**BEGUN, "invocation": {"module_args": {"secrets": "sk-very-secret"}}}],
        servers=CHAT,
        wait=False,
    )

    result = played.run()

    apply = played.remote.call_args_list[1].kwargs["module_args"]
    assert apply["secrets"] == {"chat": {"VLLM_API_KEY": "sk-very-secret"}}
    assert "sk-very-secret" not in json.dumps(apply["request"])
    assert "sk-very-secret" not in json.dumps(result)
    assert "invocation" not in result


def test_an_error_touches_nothing(play: t.Any, plans: t.Any) -> None:
    finding = Finding(
        "port.taken", "error", "is taken by nginx (pid 7)", "vllm_servers[chat].server_port", "Choose another"
    )
    plans(FakePlan(CREATE.servers, CREATE.orders, [finding]))
    played = play(servers, [observed()], servers=CHAT)

    with pytest.raises(AnsibleActionFail) as caught:
        played.run()

    assert played.steps == ["observe"]
    assert "vllm_servers[chat].server_port: is taken by nginx (pid 7). Choose another." in str(caught.value)
    assert returned(caught)["findings"][0]["code"] == "port.taken"
    assert returned(caught)["remote_calls"] == 1
    assert caught.value.__cause__ is None


def test_a_bad_declaration_needs_no_host(play: t.Any) -> None:
    played = play(servers, [], servers={"chat": {"image": "x:1", "model": "/m", "engine_arg": {}}})

    with pytest.raises(AnsibleActionFail, match="engine_args"):
        played.run()

    assert played.steps == []


def test_a_bad_secret_is_not_shown(play: t.Any) -> None:
    played = play(servers, [], servers={"chat": {"image": "x:1", "model": "/m", "secrets": {"api_key": ["sk-1234"]}}})

    with pytest.raises(AnsibleActionFail) as caught:
        played.run()

    assert "sk-1234" not in str(caught.value) + json.dumps(returned(caught), default=str)


@pytest.mark.parametrize("name", ["server", "timeouts", "default"])
def test_unknown_option_names_the_nearest(play: t.Any, name: str) -> None:
    with pytest.raises(AnsibleActionFail, match=r"Write `(servers|timeout|defaults)`"):
        play(servers, [], **{name: {}}).run()


def test_check_mode_looks_once_and_tells(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    played = play(servers, [observed()], check_mode=True, diff=True, servers=CHAT)

    result = played.run()

    assert played.steps == ["observe"]
    assert result["changed"] is True
    assert result["diff"]["after"] == "chat: create\n"
    assert played.shown == ["  [gpu1] chat: create"]


def test_check_mode_says_what_stays(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING)
    played = play(servers, [observed()], check_mode=True, servers=CHAT)

    assert played.run()["changed"] is False
    assert played.shown == ["  [gpu1] chat: nothing to do, ready"]
    assert "diff" not in played.run.__self__.action._task.args


def test_no_log_shows_nothing(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    played = play(servers, [observed()], check_mode=True, no_log=True, servers=CHAT)

    played.run()

    assert played.shown == []


def test_missing_images_are_fetched_in_slices(play: t.Any, plans: t.Any) -> None:
    missing = FakePlan([ServerPlan("chat", "create")], needs={"images": ["a/b:1"]})
    plans(missing, CREATE)
    slices = [
        {"done": False, "pull": "p1", "progress": {"layers": 4, "done": 1, "bytes": 2**30, "total": 2**31}},
        {"done": True, "image_id": "sha256:1", "progress": {}},
    ]
    played = play(servers, [observed(), *slices, observed(), BEGUN, watched({"chat": [done()]})], servers=CHAT)

    result = played.run()

    assert played.steps == ["observe", "fetch", "fetch", "observe", "apply", "watch"]
    assert played.request(2)["pull"] == "p1"
    assert result["fetched"] == ["a/b:1"]
    assert "  [gpu1] image a/b:1: 1 of 4 layers, 1.0 of 2.0 GiB" in played.shown


def test_a_failed_pull_is_a_finding(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("chat", "create")], needs={"images": ["a/b:1"]}))
    failed = {"done": True, "image_id": None, "code": "image.proxy", "message": "a/b:1 could not be pulled: …; do this"}
    played = play(servers, [observed(), failed], servers=CHAT)

    with pytest.raises(AnsibleActionFail) as caught:
        played.run()

    (finding,) = caught.value._result["findings"]
    assert (finding["code"], finding["severity"], finding["field"]) == ("image.proxy", "error", "image")
    assert finding["message"] == "gpu1: a/b:1 could not be pulled: …; do this." and str(caught.value)


def test_update_asks_for_tags_again(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING, CREATE)
    here = observed(images={"vllm/vllm-openai:v0.32.0": {"id": "sha256:old"}})
    fetched = {"done": True, "image_id": "sha256:new"}
    played = play(servers, [here, fetched, here, BEGUN, watched({"chat": [done()]})], servers=CHAT, update=True)

    result = played.run()

    assert played.steps == ["observe", "fetch", "observe", "apply", "watch"]
    assert played.request(1)["force"] is True
    assert result["fetched"] == ["vllm/vllm-openai:v0.32.0"]


@pytest.mark.parametrize(
    ("more", "image_id", "steps"),
    [
        ({}, "sha256:old", ["observe", "fetch"]),
        ({"pull": "never"}, "", ["observe"]),
        ({"image": "a/b@sha256:" + "0" * 64}, "", ["observe"]),
        ({"state": "stopped"}, "", ["observe"]),
    ],
)
def test_update_without_news_is_no_change(
    play: t.Any, plans: t.Any, more: dict[str, str], image_id: str, steps: list[str]
) -> None:
    plans(NOTHING)
    declared = {**CHAT["chat"], **more}
    here = observed(images={declared["image"]: {"id": "sha256:old"}})
    answers = [here, {"done": True, "image_id": image_id}][: len(steps)]
    played = play(servers, answers, servers={"chat": declared}, update=True)

    result = played.run()

    assert (played.steps, result["changed"], result["fetched"]) == (steps, False, [])


def test_update_of_an_image_that_no_registry_has(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING)
    here = observed(images={"vllm/vllm-openai:v0.32.0": {"id": "sha256:old"}})
    played = play(servers, [here, {"done": True, "image_id": None, "message": "denied"}], servers=CHAT, update=True)

    with pytest.raises(AnsibleActionFail, match="could not be fetched: denied. Set .pull: never."):
        played.run()


def test_a_failed_pull_says_why(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("chat", "create")], needs={"images": ["a/b:1"]}))
    played = play(servers, [observed(), {"done": True, "image_id": None, "message": "no such host"}], servers=CHAT)

    with pytest.raises(AnsibleActionFail, match="image a/b:1 could not be fetched: no such host"):
        played.run()


def test_without_prefetch_a_missing_image_refuses(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("chat", "create")], needs={"images": ["a/b:1"]}))
    played = play(servers, [observed()], servers=CHAT, steps=["start"])

    with pytest.raises(AnsibleActionFail, match="image a/b:1 is not on gpu1"):
        played.run()


def test_prefetch_only_plans_everything_and_applies_nothing(play: t.Any, plans: t.Any) -> None:
    given = plans(FakePlan([ServerPlan("chat", "create")], CREATE.orders, disrupts=["embed"]))
    played = play(servers, [observed()], servers=CHAT, steps=["prefetch"])

    result = played.run()

    assert played.steps == ["observe"]
    assert (result["changed"], result["starts"], result["disrupts"], result["todo"]) == (
        False,
        ["chat"],
        ["embed"],
        ["starts", "disrupts"],
    )
    assert "replace" in given[0][2].steps


def test_no_step_looks_and_never_fails(play: t.Any, plans: t.Any) -> None:
    finding = Finding("model.absent", "error", "is not there", "vllm_servers[chat].model")
    plans(FakePlan([ServerPlan("chat", "create", "absent", findings=[finding])], findings=[finding]))
    played = play(servers, [observed()], servers=CHAT, steps=[])

    result = played.run()

    assert result["status"][0]["server"] == "chat"
    assert result["status"][0]["state"] == "absent"
    assert result["findings"][0]["code"] == "model.absent"


def test_not_waiting_returns_what_to_follow(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    begun = play(servers, [observed(), BEGUN], servers=CHAT, wait=False).run()
    assert [entry["server"] for entry in begun["pending"]] == ["chat"]
    assert begun["pending"][0]["limit"] == 60 + 100 + 20 + 10 + 5
    assert begun["changed"] is True

    played = play(servers, [watched({"chat": [done()]})], servers=CHAT, follow=begun["pending"])
    result = played.run()

    assert played.steps == ["watch"]
    assert result["changed"] is False
    assert result["servers"]["chat"]["result"] == "ok"


def test_following_nothing_asks_nobody(play: t.Any) -> None:
    played = play(servers, [], servers=CHAT, follow=[])

    assert played.run()["remote_calls"] == 0


def test_failed_start_names_cause_and_evidence(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    failed = {
        "event": "failed",
        "reason": "exit",
        "message": "exited with code 1 after 3 s",
        "exit": {"code": 1, "oom": False, "error": ""},
        "log": ["ValueError: nothing known about this one"],
        "evidence": "/var/lib/cortex-vllm/chat/evidence/x",
    }
    played = play(servers, [observed(), BEGUN, watched({"chat": [failed, done("failed")]})], servers=CHAT)

    with pytest.raises(AnsibleActionFail) as caught:
        played.run()

    message = str(caught.value)
    assert message.startswith("chat: start failed: exited with code 1 after 3 s")
    assert "Evidence on the host: /var/lib/cortex-vllm/chat/evidence/x" in message
    assert returned(caught)["changed"] is True
    assert returned(caught)["servers"]["chat"]["result"] == "failed"
    assert "diagnosis" in returned(caught)["servers"]["chat"]


@pytest.mark.parametrize(
    ("back", "said"),
    [
        ({"verified": True}, "The old server answers again (verified after 12 s)."),
        ({"verified": False}, "The old server was started again but does NOT answer: refused."),
        ({"verified": False, "ran": True}, "The old server was started again but does NOT answer: refused."),
        ({"verified": False, "ran": False, "message": "the old container did not run before"}, "The old container did"),
    ],
)
def test_roll_back_is_told(play: t.Any, plans: t.Any, back: dict[str, t.Any], said: str) -> None:
    plans(FakePlan([ServerPlan("chat", "replace")], {"chat": order("replace")}, disrupts=["chat"]))
    events = [
        {"event": "failed", "reason": "timeout", "message": "not ready after 100 s", "log": [], "exit": None},
        {"event": "rolled_back", "seconds": 12.0, "message": "refused", **back},
        done("rolled_back"),
    ]
    played = play(servers, [observed(), BEGUN, watched({"chat": events})], servers=CHAT)

    with pytest.raises(AnsibleActionFail) as caught:
        played.run()

    assert said in str(caught.value)
    assert ("does NOT answer" in str(caught.value)) == ("does NOT" in said)


def test_the_others_are_waited_for_before_failing(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("a", "create"), ServerPlan("b", "create")], {"a": order(), "b": order()}))
    two = {"job": "j", "jobs": {"a": {"job": "j", "offset": 0}, "b": {"job": "j", "offset": 0}}}
    failed = {"event": "failed", "message": "exited"}
    played = play(
        servers,
        [observed(), two, watched({"a": [failed, done("failed")], "b": []}), watched({"b": [done()]})],
        servers=CHAT,
    )

    with pytest.raises(AnsibleActionFail, match="a: start failed: exited"):
        played.run()

    assert list(played.request(3)["jobs"]) == ["b"]


def test_stale_looks_again(play: t.Any, plans: t.Any) -> None:
    plans(CREATE, NOTHING)
    played = play(servers, [observed(), BEGUN, watched({"chat": [done("stale")]}), observed()], servers=CHAT)

    result = played.run()

    assert played.steps == ["observe", "apply", "watch", "observe"]
    assert result["servers"]["chat"]["result"] == "stale"


def test_what_was_restarted_is_not_restarted_again_for_the_sake_of_another(play: t.Any, plans: t.Any) -> None:
    """Of two servers one had to be recovered first; the second look is for that one."""
    both = FakePlan(
        [ServerPlan("a", "restart"), ServerPlan("b", "recover")], {"a": order("restart"), "b": order("recover")}
    )
    given = plans(both, FakePlan([ServerPlan("a"), ServerPlan("b", "restart")], {"b": order("restart")}))
    two = {"job": "j", "jobs": {"a": {"job": "j", "offset": 0}, "b": {"job": "j", "offset": 0}}}
    one = {"job": "k", "jobs": {"b": {"job": "k", "offset": 0}}}
    answers = [
        observed(),
        two,
        watched({"a": [done()], "b": [done("stale")]}),
        observed(),
        one,
        watched({"b": [done()]}),
    ]
    played = play(servers, answers, servers=CHAT, state="restarted")

    played.run()

    assert [list(options.restarted) for _specs, _seen, options in given] == [[], ["a"]]


def test_a_server_that_was_cleaned_up_and_is_not_well_is_told(play: t.Any, plans: t.Any) -> None:
    plans(
        FakePlan([ServerPlan("chat", "recover", "failed")], {"chat": order("recover")}),
        FakePlan([ServerPlan("chat", "none", "failed")]),
    )
    played = play(servers, [observed(), BEGUN, watched({"chat": [done("stale")]}), observed()], servers=CHAT)

    with pytest.raises(AnsibleActionFail, match="chat: it runs but is not well"):
        played.run()


def test_a_dead_job_looks_again(play: t.Any, plans: t.Any) -> None:
    plans(CREATE, NOTHING)
    played = play(servers, [observed(), BEGUN, watched({"chat": []}, alive=False), observed()], servers=CHAT)

    played.run()

    assert played.steps[-1] == "observe"


def test_never_still_gives_up_after_three(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    played = play(servers, [observed(), BEGUN, watched({"chat": [done("stale")]})] * 4, servers=CHAT)

    with pytest.raises(AnsibleActionFail, match="changed under this task 3 times"):
        played.run()

    assert played.steps.count("observe") == 4


def test_lost_connection_while_following_is_no_failure(play: t.Any, plans: t.Any) -> None:
    plans(CREATE)
    lost = AnsibleConnectionFailure("ssh broke")
    garbled = {"failed": True, "msg": "nothing readable", "module_stdout": "", "module_stderr": ""}
    played = play(servers, [observed(), BEGUN, lost, garbled, watched({"chat": [done()]})], servers=CHAT)

    result = played.run()

    assert result["servers"]["chat"]["result"] == "ok"
    assert played.action._connection.reset.call_count == 2
    assert any("connection lost, the job goes on there" in line for line in played.shown)
    assert any("connected again" in line for line in played.shown)


def test_unreachable_before_anything_is_unreachable(play: t.Any) -> None:
    with pytest.raises(AnsibleConnectionFailure, match="no route"):
        play(servers, [AnsibleConnectionFailure("no route")], servers=CHAT).run()


@pytest.mark.parametrize("garbled", [True, False])
def test_connection_lost_while_beginning_asks_the_journal(play: t.Any, plans: t.Any, garbled: bool) -> None:
    plans(CREATE)
    broken = {"failed": True, "msg": "x", "module_stdout": ""} if garbled else AnsibleConnectionFailure("ssh broke")
    played = play(servers, [observed(), broken, watched({"chat": [done()]})], servers=CHAT)

    assert played.run()["servers"]["chat"]["result"] == "ok"
    assert len(played.request(2)["jobs"]["chat"]["job"]) == 32


def test_engine_refusal_is_one_line(play: t.Any) -> None:
    refused = {"failed": True, "msg": "permission denied on /var/run/docker.sock"}

    with pytest.raises(AnsibleActionFail, match=r"^permission denied on /var/run/docker\.sock$"):
        play(servers, [refused], servers=CHAT).run()


def test_jobs_of_others_are_followed_then_looked_at(play: t.Any, plans: t.Any) -> None:
    theirs = FakePlan([ServerPlan("chat", "follow")], follows=[{"server": "chat", "job": "other", "offset": 0}])
    plans(theirs, NOTHING)
    played = play(servers, [observed(), watched({"chat": [done()]}), observed()], servers=CHAT)

    result = played.run()

    assert played.request(1)["jobs"]["chat"]["job"] == "other"
    assert played.steps == ["observe", "watch", "observe"]
    assert result["changed"] is False


def test_failed_and_left_alone_fails_at_the_end(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("chat", "none", "failed", reason="answers 503")]))

    with pytest.raises(AnsibleActionFail, match="chat: answers 503"):
        play(servers, [observed()], servers=CHAT).run()


def test_facts_and_warnings_of_the_module_are_kept(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING)
    answer = {
        **observed(),
        "ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3"},
        "warnings": ["old SDK"],
    }

    result = play(servers, [answer], servers=CHAT).run()

    assert result["ansible_facts"] == {"discovered_interpreter_python": "/usr/bin/python3"}
    assert result["warnings"] == ["old SDK"]


def test_warnings_are_told(play: t.Any, plans: t.Any) -> None:
    plans(
        FakePlan(
            [ServerPlan("chat")], findings=[Finding("bind.public", "warning", "is public", "vllm_servers[chat].bind")]
        )
    )
    played = play(servers, [observed()], servers=CHAT)

    played.run()

    assert played.warned == ["[gpu1] vllm_servers[chat].bind: is public."]


@pytest.mark.parametrize("as_list", [False, True])
def test_accept_reaches_every_declaration(play: t.Any, plans: t.Any, as_list: bool) -> None:
    given = plans(NOTHING)
    public: t.Any = {"chat": {**CHAT["chat"], "bind": "0.0.0.0", "accept": ["a.b"]}, "embed": {"server_port": 8001}}
    if as_list:
        public = [{"name": name, **body} for name, body in public.items()]
    defaults = {**CHAT["chat"], "accept": ["c.d"]}
    options = {"servers": public, "defaults": defaults}

    with pytest.raises(AnsibleActionFail, match="security.public-without-key"):
        play(servers, [observed()], **options).run()
    play(servers, [observed()], **options, accept=["security.public-without-key"]).run()

    accepted = {spec.name: list(spec.accept) for spec in given[0][0]}
    assert accepted["chat"] == ["a.b", "security.public-without-key"]
    assert accepted["embed"] == ["c.d", "security.public-without-key"]


@pytest.mark.parametrize("wrong", ["text", [1], {"chat": 7}, {"chat": {"accept": "x"}}])
def test_accept_leaves_wrong_shapes_to_validation(play: t.Any, wrong: t.Any) -> None:
    with pytest.raises(AnsibleActionFail, match="vllm_servers"):
        play(servers, [], servers=wrong, accept=["a.b"]).run()


def test_connection_options_reach_the_module(play: t.Any, plans: t.Any) -> None:
    plans(NOTHING)
    played = play(servers, [observed()], servers=CHAT, docker_host="tcp://h:2376", tls=True)

    played.run()

    args = played.remote.call_args.kwargs["module_args"]
    assert (args["docker_host"], args["tls"], args["tls_verify"], args["timeout"]) == ("tcp://h:2376", True, True, 60.0)


def test_server_is_the_one_element_case(play: t.Any, plans: t.Any) -> None:
    given = plans(NOTHING)
    played = play(server, [observed()], name="chat", image="x:1", model="/m", timeout=5)

    result = played.run()

    assert [spec.name for spec in given[0][0]] == ["chat"]
    assert given[0][2].prune == "ignore"
    assert result["server"]["action"] == "none"


def test_container_goes_the_same_way(play: t.Any, plans: t.Any) -> None:
    given = plans(FakePlan([ServerPlan("dcgm")]))

    result = play(container, [observed()], name="dcgm", image="x:1", command=["run"], ports=["9400"]).run()

    assert given[0][0][0].kind == "container"
    assert result["container"]["action"] == "none"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state_dir": "relative/dir"}, "state_dir: 'relative/dir' is not an absolute path. Write the path from /."),
        ({"state_dir": ""}, "state_dir: '' is not an absolute path"),
        ({"timeout": -1}, "timeout: is -1"),
        ({"timeout": 0}, "timeout: is 0"),
        ({"docker_host": "localhost"}, "Write unix:///var/run/docker.sock, or tcp://host:port."),
        ({"docker_host": "/run/docker.sock"}, "Write unix:///run/docker.sock."),
        ({"follow": [{}]}, "follow: entry 0 is not what a task returns as `pending`"),
        ({"timeout": "soon"}, "unable to convert to float"),
        ({"only": {"a": "b"}}, "unable to convert to list"),
    ],
)
def test_options_that_cannot_work(play: t.Any, plans: t.Any, options: dict[str, t.Any], words: str) -> None:
    plans(NOTHING)
    played = play(servers, [], servers=CHAT, **options)
    with pytest.raises(AnsibleActionFail) as caught:
        played.run()
    assert words in str(caught.value) and "<class" not in str(caught.value)
    assert played.steps == []


def test_an_image_that_would_have_been_fetched_is_no_second_fault(play: t.Any, plans: t.Any) -> None:
    wrong = Finding("gpu.absent", "error", "this host shows no GPU", server="chat")
    plans(FakePlan([ServerPlan("chat", "create", "absent", findings=[wrong])], needs={"images": ["a/b:1"]}))
    with pytest.raises(AnsibleActionFail) as caught:
        play(servers, [observed()], servers=CHAT).run()
    assert "no GPU" in str(caught.value) and "a/b:1" not in str(caught.value)


def test_check_mode_tells_which_image_it_could_not_look_at(play: t.Any, plans: t.Any) -> None:
    plans(FakePlan([ServerPlan("chat", "create", "absent")], needs={"images": ["a/b:1"]}))
    played = play(servers, [observed()], servers=CHAT, check_mode=True)
    played.run()
    assert any("image a/b:1 is not here: it is fetched first" in line for line in played.shown)


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("pyenv: python3.13: command not found\n\nIt exists in:\n  3.13\n", "/shims/python3 does not run"),
        ("Traceback (most recent call last):\nSyntaxError: invalid syntax", "SyntaxError: invalid syntax"),
    ],
)
def test_a_python_that_does_not_run_is_named(stderr: str, words: str) -> None:
    answer = {"msg": "No start of json char found", "module_stdout": "", "module_stderr": stderr, "rc": 127}
    said = _action._remote_text(answer, "/shims/python3")
    assert words in said and ("ansible_python_interpreter" in said) == ("Traceback" not in stderr)
