# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Asks a server over HTTP, as the PROBE of an order says: /health, then the declared name, then one answer."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time

HEALTH_TIMEOUT = 2.0
# Seconds between two questions: once the log says that the routes come up, while it says that they are far, while it
# says nothing yet, and where it cannot be read. Fifty servers may start on this host at once.
POLL = 0.1
FAR = 2.0
UNSURE = 0.5
BLIND = 0.2
# How long a word of the log that it is nearly there is believed.
NEAR = 120.0
# A server that answers so has lost its engine (503; 500 before vLLM 0.11), and ends within its watchdog's five seconds;
# one that was told to live on (VLLM_KEEP_ALIVE_ON_ENGINE_DEATH) answers so for ever.
SICK = (500, 503)
SICK_PATIENCE = 15.0
# /health may answer a moment before the served names are what they will be.
NAMES_PATIENCE = 5.0
ANSWER_BYTES = 4 << 20


def _connection(probe, timeout):
    address = probe.get("address") or "127.0.0.1"
    if address in ("0.0.0.0", ""):
        address = "127.0.0.1"
    elif address in ("::", "[::]"):
        address = "::1"
    port = int(probe["port"])
    if probe.get("scheme") == "https":
        # We ask the address of this host for life, not for identity: its certificate names the public host.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(address.strip("[]"), port, timeout=timeout, context=context)
    return http.client.HTTPConnection(address.strip("[]"), port, timeout=timeout)


def ask(probe, path, key, timeout, body=None):
    """``(status, bytes)`` of one request. Raises `OSError` or `http.client.HTTPException`."""
    connection = _connection(probe, timeout)
    headers = {"Connection": "close"}
    if key:
        headers["Authorization"] = "Bearer " + key.strip()
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode("utf-8")
    try:
        connection.request("GET" if data is None else "POST", path, body=data, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_BYTES)
    finally:
        connection.close()


def _models(raw):
    """The names of a /v1/models answer; None when it is none."""
    try:
        return [str(entry["id"]) for entry in json.loads(raw.decode("utf-8", "replace"))["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def _short(exc):
    if isinstance(exc, socket.timeout):
        return "no answer in time"
    return "{0}: {1}".format(type(exc).__name__, exc) if not isinstance(exc, OSError) else (exc.strerror or str(exc))


def health(probe, key, timeout=HEALTH_TIMEOUT):
    """``{http, error, models, seconds}`` of one look; never raises. ``models`` is asked once /health says 200."""
    begin = time.monotonic()
    answer = {"http": None, "error": None, "models": None, "seconds": 0.0}
    try:
        answer["http"] = ask(probe, "/health", None, timeout)[0]
        if answer["http"] == 200:
            status, raw = ask(probe, "/v1/models", key, timeout)
            if status == 200:
                answer["models"] = _models(raw)
            else:
                answer["error"] = "/v1/models answered {0}".format(status)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        answer["error"] = _short(exc)
    answer["seconds"] = round(time.monotonic() - begin, 4)
    return answer


def token(probe, key):
    """``(text, None, False)`` for one answer of the declared name, or ``(None, why not, perhaps dying)``.

    Without ``ask`` in the probe one generated token is asked for. The last one is true when the answer is what a server
    gives whose engine has just died.
    """
    plain = {"model": probe.get("served_name"), "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    question = probe.get("ask") or {"path": "/v1/completions", "body": plain, "expect": {"kind": "completion"}}
    path, timeout = question["path"], float(probe.get("token_timeout") or 120.0)
    try:
        status, raw = ask(probe, path, key, timeout, question["body"])
    except (OSError, http.client.HTTPException) as exc:
        return None, "{0}: {1} (waited up to {2:g} s)".format(path, _short(exc), timeout), True
    text = raw.decode("utf-8", "replace")
    if status != 200:
        return None, "{0} answered {1}: {2}".format(path, status, text[:500]), status >= 500
    expect = question["expect"]
    try:
        return _expected(expect, json.loads(text)), None, False
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        what = {"completion": "a completion"}.get(expect["kind"], "what was asked for ({0})".format(expect["kind"]))
        return None, "{0} answered 200 without {1}: {2}".format(path, what, text[:500]), False


def _expected(expect, answer):
    """The telling part of an answer, as text. Raises `ValueError`, `KeyError` and their like when it is not there."""
    kind = expect["kind"]
    if kind == "embedding":
        numbers = [float(number) for number in answer["data"][0]["embedding"]]
        if not numbers:
            raise ValueError(kind)
        return "{0} numbers".format(len(numbers))
    if kind == "score":
        return str(float(answer["data"][0]["score"]))
    if kind == "tool_call":
        call = answer["choices"][0]["message"]["tool_calls"][0]["function"]
        # The release sees to the name and to JSON; whether the arguments are an object is the model's wit (0.32 forces
        # the schema only for strict tools, and a model that was never trained to call any writes a number).
        json.loads(call["arguments"])
        if call["name"] != expect["name"]:
            raise ValueError(call["name"])
        return "{0}({1})".format(call["name"], call["arguments"])
    text = str(answer["choices"][0]["text"])
    if kind == "json" and [key for key in expect["keys"] if key not in json.loads(text)]:
        raise KeyError(kind)
    if kind == "regex" and not re.match("(?:{0})\\Z".format(expect["pattern"]), text.strip()):
        raise ValueError(text)
    if kind == "choice" and text.strip() not in expect["choices"]:
        raise ValueError(text)
    return text


class Prober(threading.Thread):
    """Asks until the server is ready, in its own thread: an unanswered request never delays the news of a death.

    ``answered``: seconds from the start of the thread to the first 200 of /health, or None. ``finished``: an event;
    afterwards ``text`` is the first token ("" when none is asked for), or ``failure`` says why there is none; ``dying``
    when the server may be about to end.
    ``wake``: an event set whenever something changed.
    """

    def __init__(self, probe, key, wake):
        super().__init__(name="prober", daemon=True)
        self.probe = probe
        self.answered = None
        self.http = None
        self.text = None
        self.failure = None
        self.dying = False
        self.finished = threading.Event()
        self._key = key
        self._wake = wake
        self._halt = threading.Event()
        self._nudge = threading.Event()
        self.unheard = None  # why the last look had no answer at all
        self._heard = self._near = None
        self.blind = False  # nobody reads its log
        self._begin = time.monotonic()

    def silence(self):
        """What a server that says it serves, and is not heard, looks like from the host; None in any other case."""
        if self._near is None or self.http is not None or self.unheard is None:
            return None
        return "its log says that it serves, and {0}:{1} does not answer: {2}".format(
            self.probe.get("address"), self.probe.get("port"), self.unheard
        )

    def halt(self):
        self._halt.set()
        self._nudge.set()

    def hear(self, nearly_there):
        """The log told of a phase; ``nearly_there`` when it is the one in which a server begins to listen."""
        self._heard = time.monotonic()
        if nearly_there:
            self._near = self._heard
            self._nudge.set()

    def _pause(self):
        now = time.monotonic()
        if self._near is not None and now - self._near < NEAR:
            return POLL
        if self.blind:
            return BLIND
        return FAR if self._heard is not None else UNSURE

    def run(self):
        try:
            self._run()
        except Exception as exc:  # a thread that dies silently would look like a server that never answers
            self.failure = "the probe failed: {0}: {1}".format(type(exc).__name__, exc)
        self.finished.set()
        self._wake.set()

    def _wait_for_health(self):
        sick_since = None
        while not self._halt.is_set():
            try:
                self.http = ask(self.probe, "/health", None, HEALTH_TIMEOUT)[0]
                if self.http == 200:
                    return True
            except (OSError, http.client.HTTPException) as exc:
                self.http, self.unheard = None, _short(exc)
            now = time.monotonic()
            sick_since = (sick_since or now) if self.http in SICK else None
            if sick_since is not None and now - sick_since > SICK_PATIENCE:
                self.failure = "/health answers {0} for {1:.0f} s: its engine is dead".format(
                    self.http, now - sick_since
                )
                return False
            self._nudge.wait(self._pause())
            self._nudge.clear()
        return False

    def _wait_for_name(self):
        name, deadline, why = self.probe.get("served_name"), time.monotonic() + NAMES_PATIENCE, ""
        while not self._halt.is_set():
            try:
                status, raw = ask(self.probe, "/v1/models", self._key, HEALTH_TIMEOUT * 2)
                names = _models(raw) if status == 200 else None
                if names is not None and (name is None or name in names):
                    return True
                if status in (401, 403):
                    why = "/v1/models answered {0}: the server does not accept the declared API key".format(status)
                elif names is None:
                    why = "/v1/models answered {0}".format(status)
                else:
                    why = "the server answers as {0}, not as {1!r}".format(", ".join(map(repr, names)), name)
            except (OSError, http.client.HTTPException) as exc:
                why = "/v1/models: {0}".format(_short(exc))
            if time.monotonic() >= deadline:
                self.failure, self.dying = why, not why.startswith("the server answers as")
                return False
            self._halt.wait(POLL)
        return False

    def _run(self):
        if not self._wait_for_health():
            return
        self.answered = time.monotonic() - self._begin
        self._wake.set()
        if not self._wait_for_name():
            return
        if self.probe.get("request", "completion") == "none":
            self.text = ""
            return
        self.text, self.failure, self.dying = token(self.probe, self._key)
