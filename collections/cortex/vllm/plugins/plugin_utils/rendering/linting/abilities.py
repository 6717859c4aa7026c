# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.
"""What must be declared together for a server to be able to do something: tools, structured answers, remote code.

Sources: vllm/entrypoints/openai/cli_args.py ``validate_parsed_serve_args`` (all releases), vllm/config/model.py for
trust_remote_code, vllm/config/structured_outputs.py (0.11 on; ``DecodingConfig`` before),
vllm/v1/attention/backends/registry.py.
"""

from __future__ import annotations

from collections.abc import Callable

from ...checks.tables import facts, no_such_quantization
from ..asking import GENERATING, POOLING, score_path
from ..reshaping import backend_of, boolean
from .subject import Findings, Subject

#: ``structured_outputs_config.backend`` since 0.11.0; lm-format-enforcer came back in 0.10.2.
BACKENDS = ("auto", "xgrammar", "guidance", "outlines", "lm-format-enforcer")
#: Backends of the V1 engine had names of their own while there were two engines (0.8 to 0.11).
_V1 = "_VLLM_V1"
#: Argument that needs another one, and what happens without it.
NEEDS = (
    (
        "enable_log_outputs",
        "enable_log_requests",
        "vLLM ends with: --enable-log-outputs requires --enable-log-requests",
    ),
    ("lora_modules", "enable_lora", "vLLM loads no adapter without it"),
)


def check(subject: Subject) -> Findings:
    """Ask for each ability in turn."""
    checks: tuple[Callable[[Subject], Findings], ...] = (
        _tools, _reasoning, _structured, _attention, _quantization, _needs, _remote, _probe,
    )  # fmt: skip
    for one in checks:
        yield from one(subject)


def _tools(subject: Subject) -> Findings:
    parser = subject.value("tool_call_parser")
    auto = boolean(subject.value("enable_auto_tool_choice"))
    if auto and not parser:
        text = "needs tool_call_parser: vLLM ends at once without it"
        fix = f"Write tool_call_parser: {', '.join(subject.release.tool_parsers) or 'hermes'}"
        yield subject.about("tools.parser", "error", text, fix, "enable_auto_tool_choice")
    if parser and not auto:
        text = "without enable_auto_tool_choice: true only tools that a request names are called"
        yield subject.about("tools.parser", "warning", text, "Write enable_auto_tool_choice: true", "tool_call_parser")
    yield from _known(subject, "tool_call_parser", "tool_parser_plugin", subject.release.tool_parsers, "tools.parser")


def _reasoning(subject: Subject) -> Findings:
    known = subject.release.reasoning_parsers
    yield from _known(subject, "reasoning_parser", "reasoning_parser_plugin", known, "reasoning.parser")


def _known(subject: Subject, name: str, plugin: str, known: tuple[str, ...], code: str) -> Findings:
    """A parser's name against those of the release. Before 0.10 and in it argparse says the same by its choices."""
    value, flag = subject.value(name), subject.release.flag(name)
    if not value or not known or value in known or subject.value(plugin) or (flag is not None and flag.choices):
        return
    text = f"{subject.version} has no parser {value!r}"
    yield subject.about(code, "error", text, f"Write one of {', '.join(known)}, or {plugin}", name)


def _structured(subject: Subject) -> Findings:
    inner = subject.inner("structured_outputs_config")
    backend = inner.get("backend")
    if backend is not None and backend not in BACKENDS:
        text = f"{backend!r} is no backend of structured outputs"
        fix = f"Write backend: {', '.join(BACKENDS)}"
        yield subject.about("structured-outputs.backend", "error", text, fix, "structured_outputs_config")
    if "disable_fallback" in inner and not subject.older("0.18"):
        text = f"{subject.version} has no disable_fallback any more: it went in 0.18, with the falling back"
        yield subject.about(
            "structured-outputs.backend", "error", text, "Delete disable_fallback", "structured_outputs_config"
        )


def _attention(subject: Subject) -> Findings:
    known = subject.release.attention_backends
    declared = subject.spec.engine_args.get("attention_backend")
    by_variable = declared is not None and subject.release.flag("attention_backend") is None
    for name, value in (
        ("attention_backend", subject.value("attention_backend")),
        ("attention_config", subject.inner("attention_config").get("backend")),
        ("VLLM_ATTENTION_BACKEND", subject.spec.env.get("VLLM_ATTENTION_BACKEND")),
        ("attention_backend", backend_of(subject.release, declared) if by_variable else None),
    ):
        if not isinstance(value, str) or not known or "." in value or value.upper() in (*known, "AUTO"):
            continue
        text = f"{subject.version} has no attention backend {value[:60]}"
        alike = [name for name in known if name.removesuffix(_V1) == value.upper().removesuffix(_V1)]
        fix = f"Write {alike[0]}" if alike else f"Write one of {', '.join(known)}"
        if name == "VLLM_ATTENTION_BACKEND":
            yield subject.finding("attention.backend", "error", text, fix, "env", name)
        else:
            yield subject.about("attention.backend", "error", text, fix, name)


def _quantization(subject: Subject) -> Findings:
    """The declared method; what the weights themselves name is for a check that has seen them."""
    release, value = subject.release, subject.value("quantization")
    flag = release.flag("quantization")
    if not isinstance(value, str) or not release.quantization or (flag is not None and flag.choices):
        return
    method = str(value).strip().lower()
    # vllm/config/model.py _verify_quantization: underscores are taken for hyphens where the method has them.
    if method in ("", "none", "null"):
        return
    if {method, method.replace("_", "-")} & set(release.quantization):
        deprecated = facts(release).get("deprecated_quantization", ())
        if method in deprecated and not boolean(subject.value("allow_deprecated_quantization")):
            text = f"{method} is deprecated in {subject.version}, which refuses it"
            fix = "Write allow_deprecated_quantization: true, and plan for other weights"
            yield subject.about("model.quantization", "error", text, fix, "quantization")
        return
    yield subject.about("model.quantization", "error", *no_such_quantization(release, method), "quantization")


def _needs(subject: Subject) -> Findings:
    for name, other, why in NEEDS:
        if subject.value(name) not in (None, False, []) and subject.release.flag(other) is not None:
            if not boolean(subject.value(other)):
                yield subject.about("argument.needs", "error", f"needs {other}: {why}", f"Write {other}: true", name)


def _remote(subject: Subject) -> Findings:
    if boolean(subject.value("trust_remote_code")):
        text = "runs Python code of the model's repository inside of the server, with its secrets and its GPUs"
        fix = "Delete it where the release knows the architecture; else read the code, pin revision to a commit, and "
        fix += "write accept: [security.trust-remote-code]"
        yield subject.about("security.trust-remote-code", "error", text, fix, "trust_remote_code")


def _probe(subject: Subject) -> Findings:
    """What is asked before the server counts as ready must be something that it can answer."""
    spec, request = subject.spec, subject.spec.probe.request
    place = ("probe", "request")
    if spec.headless and request not in ("auto", "none"):
        text = "a headless node answers nothing"
        yield subject.finding("probe.unavailable", "error", text, "Write request: none, or delete it", *place)
    elif request == "score" and score_path(subject.release) is None:
        text = f"{subject.version} has no scores"
        yield subject.finding("probe.unavailable", "error", text, "Use a newer image, or request: embedding", *place)
    elif request == "tool_call" and not subject.older("0.14") and not subject.value("tool_call_parser"):
        # 0.14.1 vllm/entrypoints/openai/serving_chat.py, 0.32.0 vllm/renderers/online_renderer.py: named tools too.
        text = f"{subject.version} calls no tool without tool_call_parser, not even one that the request names"
        known = ", ".join(subject.release.tool_parsers) or "hermes"
        yield subject.finding("probe.unavailable", "error", text, f"Write tool_call_parser: {known}", *place)
    elif request in GENERATING and spec.pools():
        text = "the server only pools, so that it generates nothing"
        yield subject.finding("probe.unavailable", "error", text, "Write request: embedding or score", *place)
    elif request in POOLING and subject.value("runner") == "generate":
        text = "the server generates, so that it pools nothing"
        yield subject.finding("probe.unavailable", "error", text, "Write request: completion", *place)
