# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of the server, from the import of half a gigabyte of libraries that are not there to its end."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import typing as t

from vllm import __version__
from vllm.standin import arguments, failures, script
from vllm.standin.knobs import PHASE_SECONDS, from_environment, from_model
from vllm.standin.processes import Children
from vllm.standin.ranks import Ranks
from vllm.standin.web import Engine, Server

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"


class Ended(Exception):
    """The server is over: ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Run:
    """The state of one server."""

    def __init__(self, style: str, argv: t.Sequence[str]) -> None:
        self.style = style
        self.argv = list(argv)
        self.knobs = from_environment()
        self.version = self.knobs.version or __version__
        self.children = Children()
        self.wake = threading.Event()
        self.stopping = False
        self.values: t.Dict[str, t.Any] = {"VERSION": self.version, "API": os.getpid(), "ENGINE": 48, "WORKER": 83}
        self.model = ""
        self.banner = False

    # --- time and words -------------------------------------------------------------------------------------------

    def spend(self, phase: str) -> None:
        """Take the phase's time; fail or stay in it if a knob says so."""
        seconds = PHASE_SECONDS[phase] * self.knobs.speed
        if phase == "P7" and self.knobs.load_seconds >= 0:
            seconds = self.knobs.load_seconds
        if phase != "P7":
            time.sleep(seconds)  # P7 spends its time between the progress lines
        while self.knobs.hang_phase == phase:
            signal.pause()
        if self.knobs.fail_phase == phase and phase in failures.OF_PHASE:
            self.replay(failures.Failure(failures.OF_PHASE[phase], phase, {}))

    def say(self, lines: t.Iterable[str]) -> None:
        for line in lines:
            script.write(script.render(line, self.values))

    def replay(self, failure: failures.Failure) -> t.NoReturn:
        """Write a recorded failure, spread over the time of the phases before it, and end as it ended."""
        record = script.recording(failure.recording)
        lines = script.replayed(record, self.model or record.model, self.banner, failure.replace)
        done = "P3" if self.banner else "P0"
        left = sum(seconds for phase, seconds in PHASE_SECONDS.items() if done < phase <= failure.phase)
        pause = left * self.knobs.speed / max(len(lines), 1)
        for line in lines:
            script.write(line)
            time.sleep(pause)
        raise Ended(self.knobs.exit if self.knobs.exit >= 0 else record.exit_code)

    # --- the phases -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """P0 to P9; raises Ended when the server does not become ready."""
        said = script.phases()
        if self.style == "api_server":
            for line in script.read("api_server-deprecation.log"):
                script.write(line)
        self.say(said["P0"])
        self.spend("P0")
        options = self.parse()
        if self.knobs.replay:
            self.replay(failures.Failure(self.knobs.replay, "P8", {}))
        self.spend("P1")
        self.spend("P2")
        wrong = failures.of_parsers(options)
        if wrong:
            self.replay(wrong)
        self.ranks = Ranks(options, self.wake)
        self.headless = bool(options.get("headless"))
        server = self.bind(options, said)
        wrong = failures.of_model(self.model, options)
        if wrong and wrong.phase == "P4":
            self.replay(wrong)
        for phase, title in (("P4", ""), ("P5", "VLLM::EngineCore"), ("P6", "VLLM::Worker")):
            if title and self.knobs.children:
                self.values["ENGINE" if phase == "P5" else "WORKER"] = self.children.start(title)
            self.spend(phase)
            self.say(said[phase])
            self.check_children()
        self.ranks.join()
        if wrong:
            self.replay(wrong)
        self.load(said["P7"])
        for phase in ("P8", "P9"):
            self.spend(phase)
            self.check_children()
            if phase == "P9":
                self.listen(server)
            self.say(said[phase])

    def parse(self) -> t.Dict[str, t.Any]:
        """P1: options by destination; sets model and served names."""
        flags = arguments.known_flags(self.version, self.knobs.known_flags, self.knobs.unknown_flags)
        try:
            parsed = arguments.parse(self.argv, flags, self.style)
        except arguments.Refused as exc:
            sys.stderr.write(exc.text)
            raise Ended(2) from None
        options = dict(parsed.options)
        named = options.get("model")
        if self.style == "serve" and named and arguments.release(self.version) < (0, 11):
            script.write(
                "ValueError: With `vllm serve`, you should provide the model as a positional argument or in a config "
                "file instead of via the `--model` option."
            )
            raise Ended(1)
        self.model = (parsed.model_tag or named if self.style == "serve" else named) or DEFAULT_MODEL
        self.knobs = from_model(self.knobs, self.model, options)
        self.version = self.knobs.version or __version__
        shown = {"model_tag": parsed.model_tag} if parsed.model_tag else {}
        if self.style == "serve" or named:
            shown["model"] = self.model
        shown.update({key: value for key, value in options.items() if key != "model"})
        names = options.get("served_model_name") or [self.model]
        config = _config(self.model)
        length = arguments.human_int(str(options.get("max_model_len", "auto")))
        if length < 0:
            length = int(config.get("max_position_embeddings", 2048))
        self.values.update(MODEL=self.model, VERSION=self.version, LEN=length, SERVED=names[0], ARGS=_shown(shown))
        self.values.update(HOST=options.get("host") or "0.0.0.0", PORT=options.get("port") or 8000)
        self.values["CONCURRENCY"] = f"{2097152 / length:.2f}"
        self.values["ARCHITECTURE"] = (config.get("architectures") or ["Qwen3ForCausalLM"])[0]
        keys = list(options.get("api_key") or filter(None, [os.environ.get("VLLM_API_KEY", "")]))
        self.engine = Engine(self.knobs, self.version, self.model, names, length, keys)
        return options

    def bind(self, options: t.Mapping[str, t.Any], said: t.Mapping[str, t.List[str]]) -> Server:
        """P3: banner and bind() without listen(); a taken port ends the server here, before any look at the model."""
        del options
        self.spend("P3")
        self.say(said["P3"])
        self.banner = True
        if self.knobs.tell_environment:
            script.write(f"environment: {dict(os.environ)}")
        time.sleep(max(self.knobs.bind_delay, 0))
        server = Server(self.values["HOST"], int(self.values["PORT"]))
        server.engine = self.engine
        if self.headless:
            return server
        try:
            server.server_bind()
        except OSError as exc:
            # asyncio's wording is recorded nowhere; the last line is what a reader looks for
            self.say(["Traceback (most recent call last):", f"OSError: [Errno {exc.errno}] {exc.strerror}"])
            raise Ended(1) from None
        return server

    def load(self, said: t.Sequence[str]) -> None:
        """P7: weights, with a progress line for each shard."""
        self.spend("P7")
        seconds = self.knobs.load_seconds if self.knobs.load_seconds >= 0 else PHASE_SECONDS["P7"] * self.knobs.speed
        first = next(number for number, line in enumerate(said) if "checkpoint shards" in line) - 1
        last = max(number for number, line in enumerate(said) if "checkpoint shards" in line)
        self.say(said[:first])
        if self.knobs.log_bytes:
            script.write_bytes(b"Loading vocabulary: \xff\xfe\x80caf\xe9 \xc3\x28 \xf0\x9f\x98\n")
        for number, line in enumerate(script.shard_lines(self.knobs.shards, seconds)):
            if line and number > 1:
                self.pause(seconds / self.knobs.shards)
            script.write(line)
        while self.knobs.gate and not os.path.exists(os.path.join(self.model, self.knobs.gate)):
            self.pause(0.1)
        self.say(said[last + 1 :])

    def pause(self, seconds: float) -> None:
        """Sleep, but notice a killed child within half a second."""
        until = time.monotonic() + seconds
        while True:
            self.check_children()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.5))

    def check_children(self) -> None:
        """A child that dies while loading ends the server with exit code 1."""
        if self.ranks.lost.is_set() and self.ranks.rank == 0:
            self.say(["RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer"])
            raise Ended(1)
        if self.children.dead():
            record = script.recording("enginecore-killed-during-load")
            lines = script.replayed(record, self.model, True, {})
            trace = next(number for number, line in enumerate(lines) if line.startswith("Traceback"))
            for line in lines[trace:]:
                script.write(line)
            raise Ended(1)

    def listen(self, server: Server) -> None:
        """From here on the port answers and SIGTERM is heard."""
        signal.signal(signal.SIGTERM, self.on_stop)
        signal.signal(signal.SIGINT, self.on_stop)
        signal.signal(signal.SIGCHLD, lambda *_args: self.wake.set())
        self.server = server
        if self.headless:
            return
        server.server_activate()
        self.wake.set()  # a child may have died just before the handler was set
        threading.Thread(target=server.accept_all, daemon=True).start()

    def on_stop(self, *_args: t.Any) -> None:
        self.stopping = True
        self.wake.set()

    # --- after readiness ------------------------------------------------------------------------------------------

    def serve(self) -> int:
        """Until a stop or the death of the engine; the exit code."""
        until = time.monotonic() + self.knobs.die_after if self.knobs.die_after >= 0 else None
        while not self.stopping:
            left = None if until is None else max(until - time.monotonic(), 0)
            self.wake.wait(left)
            self.wake.clear()
            if self.stopping:
                break
            if self.ranks.lost.is_set() or self.children.dead() or (until is not None and time.monotonic() >= until):
                return self.die()
        return self.stop()

    def die(self) -> int:
        """The engine is gone: 503 until the watchdog looks, then the end, with exit code 0."""
        in_flight = self.engine.in_flight
        self.children.end()
        self.engine.dead.set()
        self.say(script.read("engine-died.log"))
        if os.environ.get("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH") == "1":
            while not self.stopping:
                self.wake.wait()
                self.wake.clear()
            return self.stop()
        # A request that fails on the dead engine ends the server at once; the watchdog needs up to its period.
        time.sleep(0.2 if in_flight else self.knobs.death_window)
        self.server.close()
        self.say(script.read("engine-died-end.log"))
        return max(self.knobs.exit, 0)

    def stop(self) -> int:
        """SIGTERM: a clean end, or a wait without end while a request is in flight."""
        self.server.close()
        if self.engine.in_flight or self.knobs.hang_on_stop:
            self.say(script.read("stop-in-flight.log"))
            while True:
                signal.pause()
        self.say(script.read("stop.log"))
        self.children.end()
        return 0


def _shown(options: t.Mapping[str, t.Any]) -> str:
    """``non-default args`` as vLLM prints them: numbers without quotes."""
    result = {}
    for key, value in options.items():
        if isinstance(value, str) and key != "model_tag":
            try:
                value = json.loads(value) if value[:1] in "{[-0123456789" else value
            except ValueError:
                pass
        result[key] = value
    return repr(result)


def _config(model: str) -> t.Dict[str, t.Any]:
    try:
        with open(os.path.join(model, "config.json"), encoding="utf-8") as handle:
            config = json.load(handle)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def main(style: str, argv: t.Sequence[str]) -> int:
    """Run one server to its end; the exit code. ``style``: ``serve`` or ``api_server``."""
    run = None
    try:
        run = Run(style, argv)
        run.start()
        return run.serve()
    except Ended as exc:
        return exc.code
    finally:
        if run is not None:
            run.children.end()
