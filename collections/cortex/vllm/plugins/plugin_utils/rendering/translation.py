# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What became of arguments that a release does not have: the certain cases, from vLLM's sources.

Written for any release, a declaration is brought to the words of the one that runs. Where nothing does the same, the
finding names the release that dropped it and what to use instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import catalog


@dataclass(frozen=True)
class Translation:
    """One argument in the words of another release.

    :ivar name: argument to write
    :ivar value: its value
    :ivar message: what was done, for the result
    """

    name: str
    value: Any
    message: str


#: Switches that were turned round, under another name. vLLM 0.10.1: ``--disable-log-requests`` (on unless disabled)
#: became ``--enable-log-requests`` (off unless enabled).
_FLIPPED = {
    "disable_log_requests": "enable_log_requests",
    "enable_log_requests": "disable_log_requests",
}

#: Names to the release that dropped them and what to do. From the option lists of the releases around.
_REMOVED: dict[str, tuple[str, str]] = {
    "swap_space": ("0.18", "Delete it: the V1 engine has ignored it since 0.8"),
    "guided_decoding_backend": ("0.12", "Write structured_outputs_config: {backend: …}"),
    "guided_decoding_disable_fallback": ("0.12", "Write structured_outputs_config: {disable_fallback: …}"),
    "guided_decoding_disable_any_whitespace": ("0.12", "Write structured_outputs_config: {disable_any_whitespace: …}"),
    "guided_decoding_disable_additional_properties": (
        "0.12",
        "Write structured_outputs_config: {disable_additional_properties: …}",
    ),
    "disable_log_requests": ("0.17", "Delete it: requests are not logged unless enable_log_requests is true"),
    "disable_frontend_multiprocessing": ("0.19", "Delete it"),
    "task": ("0.13", "Write runner (generate, pooling) and convert (embed, classify)"),
    "cuda_graph_sizes": ("0.13", "Write cudagraph_capture_sizes"),
    "max_seq_len_to_capture": ("0.11", "Write max_cudagraph_capture_size"),
    "rope_scaling": ("0.11.1", "Write hf_overrides: {rope_parameters: …}"),
    "rope_theta": ("0.11.1", "Write hf_overrides: {rope_parameters: …}"),
    "enable_reasoning": ("0.10", "Delete it: reasoning_parser alone turns it on"),
    "device": ("0.10", "Delete it: the platform of the image decides"),
    "use_v2_block_manager": ("0.10", "Delete it: there is no other"),
    "num_scheduler_steps": ("0.10.1", "Delete it"),
    "multi_step_stream_outputs": ("0.10.1", "Delete it"),
    "preemption_mode": ("0.11", "Delete it"),
    "scheduler_delay_factor": ("0.11", "Delete it"),
    "disable_async_output_proc": ("0.11", "Delete it"),
    "logits_processor_pattern": ("0.17", "Delete it"),
    "max_num_partial_prefills": ("0.27", "Delete it"),
    "max_long_partial_prefills": ("0.27", "Delete it"),
    "calculate_kv_scales": ("0.28", "Delete it"),
    "speculative_model": ("0.8.3", "Write speculative_config: {model: …}"),
    "num_speculative_tokens": ("0.8.3", "Write speculative_config: {num_speculative_tokens: …}"),
}

#: Names that no release ever had, though they are often copied around.
_NEVER = {
    "request_timeout": "Delete it, and let the gateway or the client end long requests",
    "enable_prometheus": "Delete it: /metrics is always there",
    "kv_cache_memory": "Write kv_cache_memory_bytes",
}


def translated(release: catalog.Release, name: str, value: Any) -> Translation | None:
    """The same meaning in the words of ``release``, when that is certain."""
    if name in _FLIPPED and isinstance(value, bool) and release.flag(_FLIPPED[name]) is not None:
        other = _FLIPPED[name]
        meaning = f"vLLM {release.version} calls it {other}; rendered as {str(not value).lower()}"
        return Translation(other, not value, meaning)
    return None


def removed(release: catalog.Release, name: str) -> tuple[str, str] | None:
    """Message and fix for an argument that later releases dropped, or that never was."""
    if name in _NEVER:
        return "no release of vLLM has this argument", _NEVER[name]
    if name not in _REMOVED:
        return None
    since, fix = _REMOVED[name]
    if catalog.version_key(release.version) < catalog.version_key(since):
        return None
    return f"removed in vLLM {since} (the image has {release.version})", fix
