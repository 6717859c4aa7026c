# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that behaves like vLLM to who asks it from outside; standard library only, runs in the test image.

fake_server.py --name chat [--load 1.0] [--fail CODE] [--dies-after S] [--no-token] [--key-file F] [--say TEXT] [--hang]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="chat")
parser.add_argument("--port", type=int, default=8000)
parser.add_argument("--load", type=float, default=0.3, help="seconds until the port listens")
parser.add_argument("--fail", type=int, help="exit code at the end of the load")
parser.add_argument("--fail-if", help="fail only if this file exists")
parser.add_argument("--dies-after", type=float, help="seconds after readiness, exit code 0")
parser.add_argument("--dies-on-token", action="store_true")
parser.add_argument("--no-token", action="store_true")
parser.add_argument("--key-file")
parser.add_argument("--say", default="")
parser.add_argument("--garbage", action="store_true")
parser.add_argument("--late", type=float, default=0.0, help="seconds between the last line of the log and listening")
parser.add_argument("--stuck", action="store_true", help="neither loads nor says anything")
parser.add_argument("--answer-seconds", type=float, default=0.0, help="how long a completion takes")
parser.add_argument("--sick", action="store_true", help="/health answers 503 for ever")
parser.add_argument("--lingers", action="store_true", help="SIGTERM: refuses new requests and stays, as 0.32 may")
parser.add_argument("--drains", action="store_true", help="SIGTERM lets requests in flight finish")
args = parser.parse_args()
running: list = []
answered = [0]
stopping = threading.Event()
key = pathlib.Path(args.key_file).read_text().strip() if args.key_file else None


def log(text):
    print(text, file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *ignored):
        pass

    def answer(self, code, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self):
        if key and self.headers.get("Authorization") != "Bearer " + key:
            self.answer(401, {"error": "Unauthorized"})
            return False
        return True

    def do_GET(self):
        if self.path == "/metrics":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'vllm:generation_tokens_total{engine="0"} %d.0\n' % answered[0])
            self.wfile.write(
                b'vllm:num_requests_running{engine="0"} %d.0\nvllm:num_requests_waiting{engine="0"} 0.0\n'
                % len(running)
            )
            return
        if self.path == "/health":
            self.answer(503 if args.sick else 200)
        elif self.path == "/v1/models":
            if self.allowed():
                self.answer(200, {"data": [{"id": args.name}]})
        else:
            self.answer(404, {"detail": "Not Found"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        if stopping.is_set():
            self.answer(500, {"error": {"message": "cannot schedule new futures after shutdown"}})
            return
        running.append(self)
        time.sleep(args.answer_seconds)
        running.remove(self)
        answered[0] += 1
        if args.dies_on_token:
            log("EngineDeadError: EngineCore encountered an issue.")
            os._exit(0)
        if args.no_token:
            self.answer(500, {"error": {"message": "EngineCore encountered an issue."}})
        elif request["model"] != args.name:
            self.answer(404, {"error": {"message": "The model does not exist."}})
        else:
            self.answer(200, {"choices": [{"text": " there", "finish_reason": "length"}]})


log("INFO non-default args: {}".format(args.say))
if args.stuck:
    time.sleep(3600)
if key:
    log("INFO a careless line with " + key)  # what must not reach any journal
if args.garbage:
    sys.stderr.buffer.write(b"\xff\xfe broken bytes \xc3\x28\n")
    sys.stderr.flush()
steps = 10
for step in range(steps):
    time.sleep(args.load / steps)
    sys.stderr.write("\rLoading safetensors checkpoint shards: {:3d}% Completed\n".format((step + 1) * 10))
    sys.stderr.flush()
log("")
if args.fail is not None and (args.fail_if is None or os.path.exists(args.fail_if)):
    log("ValueError: the telling line")
    os._exit(args.fail)
if args.late:
    log("INFO:     Application startup complete.")
    time.sleep(args.late)
server = ThreadingHTTPServer(("0.0.0.0", args.port), Handler)
server.daemon_threads = False  # server_close waits for those that still answer
if args.lingers:
    signal.signal(signal.SIGTERM, lambda *ignored: stopping.set())
if args.drains:
    signal.signal(signal.SIGTERM, lambda *ignored: threading.Thread(target=server.shutdown).start())
if not args.late:
    log("INFO:     Application startup complete.")
if args.dies_after is not None:
    threading.Timer(args.dies_after, lambda: os._exit(0)).start()
log("INFO listening at {:.3f}".format(time.time()))
server.serve_forever()
server.server_close()
