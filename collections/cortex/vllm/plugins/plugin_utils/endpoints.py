# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""Asking vLLM servers over HTTP from the controller, many at once.

API keys are sent to the endpoint they belong to and appear nowhere else: not in answers, not in errors, and not at
another host, because redirects are not followed.
"""

from __future__ import annotations

import asyncio
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .findings import Finding, FindingsError

try:
    import httpx
except ImportError as _exc:  # the sanity import test loads this without httpx
    HTTPX_IMPORT_ERROR: ImportError | None = _exc
else:
    HTTPX_IMPORT_ERROR = None

#: Endpoints asked at the same time. Each takes up to four connections' worth of sockets in a row, never more at once.
LIMIT = 64
#: Bytes of an answer that are read at most; /metrics of a busy server is some 200 kB.
ANSWER_LIMIT = 4 * 2**20

#: A few numbers of /metrics: our name, and the names they have had in vLLM's releases (vllm/engine/metrics.py and
#: vllm/v1/metrics/loggers.py: the share of the KV cache was gpu_cache_usage_perc first).
METRICS = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
}
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{[^}]*\})?\s+(?P<value>[-+.\w]+)")


def require() -> None:
    """Refuse to go on without httpx.

    :raises RuntimeError: it is missing; the text says what to install, and where
    """
    if HTTPX_IMPORT_ERROR is not None:
        raise RuntimeError(
            f"cortex.vllm needs httpx on the Ansible controller ({HTTPX_IMPORT_ERROR}). "
            "Install it beside ansible-core: python3 -m pip install httpx"
        )


def checked_url(url: Any, field: str) -> str:
    """A base URL without a slash at its end.

    :raises FindingsError: it is no http(s) URL, or carries a user name and password, which would be shown everywhere
    """
    try:
        urllib.parse.urlsplit(str(url))  # refuses half an IPv6 address, which httpx takes for a name
        parsed = httpx.URL(str(url))
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise FindingsError(
            [
                Finding(
                    "endpoint.url",
                    "error",
                    "this is no URL of a server",
                    field=field,
                    fix="Write it like `http://gpu1:8000`.",
                )
            ]
        )
    if parsed.userinfo:
        raise FindingsError(
            [
                Finding(
                    "endpoint.credentials",
                    "error",
                    "the URL carries a user name or password",
                    field=field,
                    fix="Give the key as `api_key` instead.",
                )
            ]
        )
    return str(parsed).rstrip("/").removesuffix("/v1")


def ask_all(
    endpoints: Sequence[Mapping[str, Any]],
    *,
    timeout: float = 5.0,
    limit: int = LIMIT,
    verify: bool | str = True,
    proxy: bool = True,
    metrics: bool = True,
    transport: Any = None,
) -> list[dict[str, Any]]:
    """Ask many servers for their health, models, version and a few numbers, all at once.

    :param endpoints: each with ``url`` and optionally ``name`` and ``api_key``
    :param timeout: seconds for each single request
    :param limit: endpoints that are asked at the same time
    :param verify: check TLS certificates; a path is a bundle of authorities
    :param proxy: use the proxies of the controller's environment
    :returns: one answer for each endpoint, in their order: ``{name, url, state, http, seconds, models, version,
        metrics, error}``. An endpoint that cannot be reached is an answer, not an exception.
    """

    async def ask_them() -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(limit)
        async with _client(timeout, limit, verify, proxy, transport) as client:

            async def one(endpoint: Mapping[str, Any]) -> dict[str, Any]:
                async with gate:
                    return await _ask(client, endpoint, metrics)

            return list(await asyncio.gather(*(one(endpoint) for endpoint in endpoints)))

    require()
    return asyncio.run(ask_them())


def wait_ready(
    endpoint: Mapping[str, Any],
    *,
    wait: float,
    model: str | None = None,
    token: bool = True,
    timeout: float = 5.0,
    token_timeout: float = 120.0,
    interval: float = 1.0,
    verify: bool | str = True,
    proxy: bool = True,
    say: Callable[[str], None] = lambda line: None,
    transport: Any = None,
) -> dict[str, Any]:
    """Ask one server until it gives a token, or the time is over.

    :param wait: seconds to keep asking; 0 asks once
    :param model: name that must answer; without it the first model that the server lists
    :param token: ask for a completion of one token; without it /health is enough
    :returns: ``{ready, state, http, model, token, seconds, attempts, error}``
    """

    async def waiting() -> dict[str, Any]:
        begun = time.monotonic()
        attempts, said = 0, 0.0
        async with _client(timeout, 4, verify, proxy, transport) as client:
            while True:
                attempts += 1
                answer = await _ask(client, endpoint, metrics=False)
                result = {key: answer[key] for key in ("url", "state", "http", "error", "version")}
                result.update(ready=False, model=model, token=None, attempts=attempts)
                if answer["state"] == "ready":
                    result.update(
                        await _token(client, endpoint, answer, model, token_timeout) if token else {"ready": True}
                    )
                now = time.monotonic()
                result["seconds"] = round(now - begun, 2)
                # A wrong key does not become right by waiting.
                if result["ready"] or result["state"] == "unauthorized" or now - begun + interval > wait:
                    return result
                if now - said > 15.0:
                    what = answer["name"] or answer["url"]
                    say(f"{what}: {result['error'] or result['state']}, {now - begun:.0f} s so far")
                    said = now
                await asyncio.sleep(interval)

    require()
    return asyncio.run(waiting())


def metric_numbers(text: str) -> dict[str, float]:
    """The few numbers of ``METRICS`` in a Prometheus text; engines of one server are added up, usage is the highest."""
    names = {spelling: ours for ours, spellings in METRICS.items() for spelling in spellings}
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        ours = names.get(match["name"]) if match else None
        if match is None or ours is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        found[ours] = max(found.get(ours, 0.0), value) if ours == "kv_cache" else found.get(ours, 0.0) + value
    return found


def _client(timeout: float, limit: int, verify: bool | str, proxy: bool, transport: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=timeout,
        limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
        verify=verify,
        trust_env=proxy,
        follow_redirects=False,
        transport=transport,
        headers={"User-Agent": "cortex.vllm"},
    )


def _headers(endpoint: Mapping[str, Any]) -> dict[str, str]:
    key = endpoint.get("api_key")
    return {"Authorization": f"Bearer {key}"} if key else {}


async def _ask(client: httpx.AsyncClient, endpoint: Mapping[str, Any], metrics: bool) -> dict[str, Any]:
    """Health first; the other three questions only to a server that answers it, side by side."""
    url = str(endpoint["url"])
    answer: dict[str, Any] = {
        "name": str(endpoint.get("name") or ""),
        "url": url,
        "state": "unreachable",
        "http": None,
        "seconds": None,
        "models": None,
        "version": None,
        "metrics": None,
        "error": None,
    }
    begun = time.monotonic()
    try:
        health = await client.get(f"{url}/health", headers=_headers(endpoint))
    except httpx.HTTPError as problem:
        answer["error"] = _reason(problem)
        return answer
    answer["http"] = health.status_code
    answer["seconds"] = round(time.monotonic() - begun, 3)
    if health.status_code != 200:
        answer["state"] = "unhealthy"
        answer["error"] = f"/health answers {health.status_code}"
        return answer
    answer["state"] = "ready"
    models, version, numbers = await asyncio.gather(
        _models(client, endpoint),
        _json(client, endpoint, "/version"),
        _metrics(client, endpoint) if metrics else _none(),
    )
    if isinstance(models, str):
        answer.update(state="unauthorized" if models == "401" else "unhealthy", error=_models_error(models))
    else:
        answer["models"] = models
    if isinstance(version, Mapping):
        answer["version"] = str(version.get("version") or "") or None
    answer["metrics"] = numbers
    return answer


async def _models(client: httpx.AsyncClient, endpoint: Mapping[str, Any]) -> list[str] | str:
    """The served names, or what came instead (a status code or an error) as text."""
    found = await _json(client, endpoint, "/v1/models")
    if isinstance(found, Mapping) and isinstance(found.get("data"), list):
        return [str(item.get("id")) for item in found["data"] if isinstance(item, Mapping)]
    return found if isinstance(found, str) else "no list"


def _models_error(said: str) -> str:
    if said == "401":
        return "/v1/models answers 401: the API key is missing or wrong"
    return f"/v1/models answers {said}"


async def _metrics(client: httpx.AsyncClient, endpoint: Mapping[str, Any]) -> dict[str, float] | None:
    try:
        answer = await client.get(f"{endpoint['url']}/metrics", headers=_headers(endpoint))
    except httpx.HTTPError:
        return None
    return metric_numbers(answer.text[:ANSWER_LIMIT]) if answer.status_code == 200 else None


async def _none() -> None:
    return None


async def _json(client: httpx.AsyncClient, endpoint: Mapping[str, Any], path: str) -> Any:
    """The JSON of an answer; its status code or the error as text when there is none."""
    try:
        answer = await client.get(f"{endpoint['url']}{path}", headers=_headers(endpoint))
        return answer.json() if answer.status_code == 200 else str(answer.status_code)
    except httpx.HTTPError as problem:
        return _reason(problem)
    except ValueError:
        return "something that is not JSON"


async def _token(
    client: httpx.AsyncClient, endpoint: Mapping[str, Any], answer: Mapping[str, Any], model: str | None, timeout: float
) -> dict[str, Any]:
    """Ask the declared name for one token: /health is 200 also over a dead engine."""
    listed = answer["models"] or []
    if model and model not in listed:
        return {"ready": False, "error": f"it serves {', '.join(listed) or 'nothing'}, not {model}"}
    if not listed:
        return {"ready": False, "error": "it lists no model"}
    name = model or listed[0]
    body = {"model": name, "prompt": "1 2 3", "max_tokens": 1, "temperature": 0}
    try:
        reply = await client.post(
            f"{endpoint['url']}/v1/completions", json=body, headers=_headers(endpoint), timeout=timeout
        )
    except httpx.HTTPError as problem:
        return {"ready": False, "model": name, "error": f"no token: {_reason(problem)}"}
    if reply.status_code != 200:
        return {"ready": False, "model": name, "error": f"no token: /v1/completions answers {reply.status_code}"}
    try:
        text = reply.json()["choices"][0].get("text")
    except (ValueError, LookupError, TypeError, AttributeError):
        return {"ready": False, "model": name, "error": "no token: the answer is not a completion"}
    return {"ready": True, "model": name, "token": str(text or ""), "error": None}


def _reason(problem: httpx.HTTPError) -> str:
    """Why a request failed, in words; httpx leaves the text of several empty."""
    if isinstance(problem, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(problem, httpx.ConnectError):
        return f"no connection: {problem}" if str(problem) else "no connection"
    return str(problem) or type(problem).__name__
