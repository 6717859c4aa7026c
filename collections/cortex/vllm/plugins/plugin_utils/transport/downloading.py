# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Downloading a model by huggingface_hub on a host: what is asked, and what its refusals mean."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from ..findings import Finding, FindingsError
from ..following import Remote
from . import needs, work


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a host reaches the Hub.

    :ivar python: a Python of the host that has huggingface_hub
    :ivar token: secret; travels beside the request into the environment of the one process that downloads
    :ivar proxy: secret too, because it may hold a password
    """

    python: str = "/usr/bin/python3"
    endpoint: str | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    proxy: str | None = dataclasses.field(default=None, repr=False)
    ca: str | None = None
    everything: bool = False
    workers: int = 8


#: What the client's refusals are called. The texts name what to do.
REFUSALS: dict[str, tuple[str, str, str]] = {
    "gated": (
        "hub.gated",
        "hub_token",
        "Accept the model's conditions on its page with the account of the token, and give that token.",
    ),
    "token": ("hub.token", "hub_token", "Give a token that may read this model, or make a new one."),
    "not-found": (
        "hub.not-found",
        "model",
        "Correct the id; a private model answers the same without a token that may read it.",
    ),
    "revision": ("model.revision-absent", "revision", "Name a branch, tag or commit that the Hub has."),
    "unreachable": (
        "hub.unreachable",
        "endpoint",
        "Check the host's network, proxy and endpoint; without a network restore a bundle (cortex.vllm.restore).",
    ),
    "certificate": ("hub.unreachable", "ca_bundle", "Name the file of the CA that signed the endpoint in ca_bundle."),
    "client": ("hub.client", "python", "Install huggingface_hub there (pip), or name a Python that has it."),
    "interpreter": ("hub.client", "python", "Name a Python of the host that has huggingface_hub."),
    "disk": ("disk.full", "hub_cache", "Free some space, or choose another hub_cache."),
}


@functools.lru_cache(maxsize=1)
def script() -> str:
    """The program that runs in the Python with huggingface_hub."""
    return pathlib.Path(__file__).with_name("hub_client.py").read_text(encoding="utf-8")


def download(remote: Remote, state_dir: str, model: needs.Model, settings: Settings) -> dict[str, Any]:
    """Bring a model into the host's cache, or bring it up to date.

    :returns: ``{"commit", "files", "bytes"}``; the commit is what the revision stands for now
    :raises FindingsError: when the Hub refuses, with what to do
    :raises work.WorkError: when the work itself failed
    """
    environment = {}
    if settings.endpoint:
        environment["HF_ENDPOINT"] = settings.endpoint
    if settings.ca:
        environment.update(SSL_CERT_FILE=settings.ca, REQUESTS_CA_BUNDLE=settings.ca)
    secrets = {}
    if settings.token:
        secrets["HF_TOKEN"] = settings.token
    if settings.proxy:
        # In small letters too: those of the task's environment would count before the capital ones.
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
            secrets[name] = settings.proxy
    request = {
        "state_dir": state_dir,
        "model": model.repository,
        "revision": model.revision,
        "hub_cache": model.hub_cache,
        "python": settings.python,
        "script": script(),
        "environment": environment,
        "options": {
            "model": model.repository,
            "revision": model.revision or "main",
            "rules": None
            if settings.everything
            else {
                "preferred": needs.PREFERRED,
                "other": list(needs.OTHER_FORMATS),
                "folders": list(needs.FOLDERS),
                "never": list(needs.NEVER),
                "quantization": model.quantization,
            },
            "workers": settings.workers,
        },
    }
    answer = work.follow(remote, "download", request, f"model {model.key}", secrets or None)
    error = answer.get("error")
    if error:
        raise FindingsError([refusal(error, model, settings)])
    return answer


def refusal(error: Mapping[str, Any], model: needs.Model, settings: Settings) -> Finding:
    """What an error of the client is called, without any secret."""
    text = " ".join(str(error.get("text") or "it does not say why").split())[:500]
    for secret in (settings.token, settings.proxy):
        if secret:
            text = text.replace(secret, "********")
    code, field, fix = REFUSALS.get(str(error.get("kind")), ("hub.failed", "model", "Run the task again."))
    return Finding(code, "error", f"{model.key} could not be downloaded: {text}", field, fix)
