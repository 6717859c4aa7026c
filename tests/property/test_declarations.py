# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever stands in an inventory is loaded or refused with findings: no traceback, no secret in a message."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.vllm.plugins.plugin_utils import rendering, spec
from ansible_collections.cortex.vllm.plugins.plugin_utils.findings import FindingsError

SECRET = "swordfish-hunter2"
NAMES = sorted({*spec.ServerSpec.model_fields, *spec.ContainerSpec.model_fields})
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 100_000)
    | st.floats()
    | st.text(max_size=10)
    | st.dates()
    | st.sampled_from(["none", "/srv/x", "8g", "5m", "0,1", "127.0.0.1", "absent", "a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
IMAGE = rendering.ImageFacts("x:1", "sha256:1", "0.32.0", "label", ("vllm", "serve"))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), ANYTHING, max_size=5),
    st.none() | st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=3),
    st.booleans(),
)
def test_load_never_raises_anything_but_findings(fields: dict[str, Any], defaults: Any, secret_in_place: bool) -> None:
    place = {"api_key": SECRET} if secret_in_place else {"api_kye": SECRET, "env": {"X-Y": SECRET, "OK": [SECRET]}}
    declared = {"image": "vllm/vllm-openai:v0.32.0", "model": "Qwen/Qwen3-0.6B", **fields, "secrets": place}
    try:
        specs = spec.load({"chat": declared}, defaults)
    except FindingsError as error:
        assert error.findings
        for finding in error.findings:
            assert finding.severity == "error" and finding.field and finding.field.startswith("vllm_server")
            assert SECRET not in f"{finding}{finding.as_dict()}{finding!r}{finding.origin}"
        return
    (made,) = specs
    data = made.canonical()
    assert json.loads(json.dumps(data)) == data and SECRET not in json.dumps(data) + repr(made)
    made.published(), made.effective_shm_size(), made.pools()
    rendered = rendering.render(made, IMAGE, rendering.release_for(IMAGE), [], "/var/lib/cortex-vllm", None, "salt")
    again = rendering.render(made, IMAGE, rendering.release_for(IMAGE), [], "/var/lib/cortex-vllm", None, "salt")
    assert rendered == again
    assert SECRET not in json.dumps([rendered.body, rendered.files, rendered.probe, rendered.digests])
    assert json.loads(json.dumps(rendered.body)) == rendered.body


@settings(max_examples=100, deadline=None)
@given(ANYTHING, ANYTHING)
def test_any_shape_at_all(servers: Any, defaults: Any) -> None:
    try:
        spec.load(servers, defaults)
    except FindingsError as error:
        assert str(error)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=5))
def test_containers_too(fields: dict[str, Any]) -> None:
    try:
        made = spec.load_container({"name": "x", "image": "y", **fields})
    except FindingsError as error:
        assert str(error)
        return
    rendering.render_container(made, IMAGE, [], "/var/lib/cortex-vllm", "salt")


MAPPINGS = st.dictionaries(st.text(max_size=3), ANYTHING, max_size=4)


@given(MAPPINGS, MAPPINGS)
def test_merging(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = spec.merge(below, above)
    assert set(merged) == (set(below) | set(above)) - {key for key, value in above.items() if value is None}
    for key, value in above.items():
        if value is not None and not (isinstance(value, dict) and isinstance(below.get(key), dict)):
            assert merged[key] is value
