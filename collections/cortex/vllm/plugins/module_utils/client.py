# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""The container engine, through the Docker SDK's low-level client. The one file that knows the SDK and its errors."""

from __future__ import annotations

import importlib
import io
import math
import os
import re
import sys
import tarfile
import time

from ansible_collections.cortex.vllm.plugins.module_utils.connection import (
    CHECK_HOST,
    CONNECTION,
    DEFAULT_HOST,
    EngineError,
    check_version,
    look_at_socket,
    sdk_missing,
)


def _without_setuptools(name):
    """Import the SDK without setuptools' replacement of distutils, which older SDKs ask for a version comparison.

    The replacement loads all of setuptools and pkg_resources: two thirds of the time the import takes. Where Python has
    no distutils of its own the import fails and the replacement is used after all.
    """
    hack = sys.modules.get("_distutils_hack")
    if hack is None or name in sys.modules or "distutils" in sys.modules or sys.version_info >= (3, 12):
        return
    try:
        hack.remove_shim()
    except AttributeError:
        return
    try:
        importlib.import_module(name)
    except ImportError:
        for module in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
            del sys.modules[module]
    finally:
        hack.add_shim()


# Seconds that a removal which somebody else has begun may take.
REMOVAL = 30.0


def load_sdk():
    """Import the Docker SDK and what it loads late; returns the module. Raises `EngineError` (``sdk_missing``)."""
    try:
        _without_setuptools("docker")
        sdk = importlib.import_module("docker")
        for name in ("docker.errors", "docker.tls", "docker.types", "requests.exceptions"):
            importlib.import_module(name)
        if not hasattr(sdk, "APIClient"):
            raise ImportError("{0} is something else of that name".format(getattr(sdk, "__path__", "docker")))
    except ImportError as exc:
        raise sdk_missing(exc)
    return sdk


def _sdk_facts(sdk):
    version = str(getattr(sdk, "__version__", None) or getattr(sdk, "version", "unknown"))
    return version, os.path.dirname(getattr(sdk, "__file__", None) or "")


def _tls(sdk, params):
    if not params.get("tls"):
        return False
    pair = (params.get("tls_cert"), params.get("tls_key"))
    try:
        return sdk.tls.TLSConfig(
            client_cert=pair if all(pair) else None, ca_cert=params.get("tls_ca"), verify=params.get("tls_verify", True)
        )
    except sdk.errors.TLSParameterError as exc:
        raise EngineError("incompatible", "tls_ca, tls_cert, tls_key: {0}".format(str(exc).splitlines()[0]))


class Engine:
    """One connection; not to be shared between threads (`clone` makes another one).

    Every method raises `EngineError`. Bodies travel raw, so that an older SDK never hides what the engine knows.
    """

    def __init__(self, params):
        self._params = params
        self._sdk = load_sdk()
        self._requests = importlib.import_module("requests.exceptions")
        version, path = _sdk_facts(self._sdk)
        check_version(version, path)
        self.host = host = params.get("docker_host") or DEFAULT_HOST
        look_at_socket(host)
        self.timeout = params.get("timeout") or CONNECTION["timeout"]["default"]
        try:
            self._api = self._sdk.APIClient(
                base_url=host, version="auto", timeout=self.timeout, tls=_tls(self._sdk, params)
            )
            self.api_version = str(self._api.api_version)
        except EngineError:
            raise
        except self._sdk.errors.DockerException as exc:
            text = str(exc)
            # requests 2.32 refuses the SDK's "http+docker" scheme before SDK 7.1; engines name versions they refuse.
            if re.search("Not supported URL scheme|supported API version|version .* is too (old|new)", text):
                raise EngineError(
                    "incompatible",
                    "the Docker SDK {0} in {1} and the engine at {2} do not understand each other: {3}".format(
                        version, path, host, text
                    ),
                    "Install the distribution's python3-docker in the version that belongs to its python3-requests.",
                )
            raise EngineError("not_running", "the engine at {0} does not answer: {1}".format(host, text), CHECK_HOST)
        except Exception as exc:  # a wrong URL is a ValueError here, a UnicodeError there
            raise EngineError("not_running", "docker_host {0!r} cannot be used: {1}".format(host, exc), CHECK_HOST)

    def clone(self, timeout=None):
        """Another connection to the same engine, for another thread; ``timeout`` in seconds."""
        params = dict(self._params)
        if timeout:
            params["timeout"] = timeout
        return Engine(params)

    def close(self):
        try:
            self._api.close()
        except Exception:  # closing only frees descriptors; nothing may depend on it
            pass

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        self.close()

    def _call(self, function, *args, **kwargs):
        errors = self._sdk.errors
        try:
            return function(*args, **kwargs)
        except errors.APIError as exc:
            status = getattr(exc.response, "status_code", None)
            text = str(exc.explanation or exc)
            raise EngineError({404: "not_found", 409: "conflict"}.get(status, "refused"), text)
        except errors.DockerException as exc:
            raise EngineError("refused", str(exc))
        except self._requests.Timeout as exc:
            raise EngineError("timeout", "the engine did not answer within {0} s: {1}".format(self.timeout, exc))
        except (self._requests.RequestException, OSError) as exc:
            raise EngineError("connection", "the connection to the engine was lost: {0}".format(exc))

    def _post(self, path, ident, body):
        def post():
            url = self._api._url(path, ident)  # pylint: disable=protected-access
            answer = self._api._post_json(url, data=body)  # pylint: disable=protected-access
            self._api._raise_for_status(answer)  # pylint: disable=protected-access
            return answer.json() if answer.content else {}

        return self._call(post)

    def version(self):
        return self._call(self._api.version)

    def info(self):
        return self._call(self._api.info)

    def containers(self):
        """All containers, stopped ones too, as the engine's short list."""
        return self._call(self._api.containers, all=True)

    def inspect(self, ident):
        """The engine's full answer for one container, or None when there is none."""
        try:
            return self._call(self._api.inspect_container, ident)
        except EngineError as exc:
            if exc.kind == "not_found":
                return None
            raise

    def image(self, ref):
        """The engine's answer for one image, or None when it is not on the host."""
        try:
            return self._call(self._api.inspect_image, ref)
        except EngineError as exc:
            if exc.kind == "not_found":
                return None
            raise

    def create(self, name, body):
        """Create a container from a raw body; returns its id."""
        return self._call(self._api.create_container_from_config, body, name)["Id"]

    def network(self, name):
        """Whether there is a network of this name or id."""
        try:
            self._call(self._api.inspect_network, name)
            return True
        except EngineError as exc:
            if exc.kind == "not_found":
                return False
            raise

    def connect(self, network, ident, config):
        """Connect a container to one more network."""
        self._post("/networks/{0}/connect", network, {"Container": ident, "EndpointConfig": config})

    def start(self, ident):
        self._call(self._api.start, ident)

    def stop(self, ident, timeout):
        """Stop within ``timeout`` seconds (whole ones for the engine), then it is killed."""
        self._call(self._api.stop, ident, timeout=int(math.ceil(timeout)))

    def kill(self, ident):
        """SIGKILL for a running container."""
        self._call(self._api.kill, ident)

    def wait(self, ident, timeout):
        """Return when the container does not run (any more); a `timeout` error after as many seconds."""
        self._call(self._api.wait, ident, timeout=timeout)

    def processes(self, ident):
        """Process ids of a running container, as this host counts them; empty when it does not run."""
        try:
            found = self._call(self._api.top, ident, "-eo pid")
        except EngineError as exc:
            if exc.kind in ("not_found", "conflict", "refused"):
                return []
            raise
        return [int(row[0]) for row in found.get("Processes") or [] if row and row[0].isdigit()]

    def unpause(self, ident):
        """Let a container that somebody paused go on; nothing happens when it is not paused."""
        try:
            self._call(self._api.unpause, ident)
        except EngineError as exc:
            if "not paused" not in exc.message:
                raise

    def rename(self, ident, name):
        self._call(self._api.rename, ident, name)

    def update(self, ident, body):
        """Change a living container: restart policy and limits."""
        self._post("/containers/{0}/update", ident, body)

    def remove(self, ident):
        """Remove a container, running or not, with its anonymous volumes; nothing happens when it is gone."""
        deadline = time.monotonic() + REMOVAL
        while True:
            try:
                self._call(self._api.remove_container, ident, force=True, v=True)
                return
            except EngineError as exc:
                if exc.kind == "not_found":
                    return
                # Somebody else removes it at this very moment: that is as good, once it is done.
                if "already in progress" not in exc.message or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def logs(self, ident, since, tail, follow):
        """Chunks of log bytes with the engine's time in front of each line; ``since``: whole seconds."""
        return self._call(
            self._api.logs, ident, stdout=True, stderr=True, stream=follow, follow=follow, timestamps=True,
            since=max(1, int(since)), tail=tail,
        )  # fmt: skip

    def pull(self, ref, login=None):
        """Decoded progress events of a pull.

        ``login``: ``{username, password}`` for its registry; else the target's own logins (``~/.docker/config.json``).
        """
        yield from self._call(self._api.pull, ref, stream=True, decode=True, auth_config=login)

    def save(self, ident):
        """Pieces of the tar of an image, by its id: names are no part of it."""
        stream = self._call(self._api.get_image, ident, 1 << 20)
        while True:
            piece = self._call(next, stream, None)
            if piece is None:
                return
            yield piece

    def load(self, pieces):
        """Load an image's tar from its pieces; returns what the engine says it loaded, names or ids."""
        loaded = []
        for event in self._call(self._api.load_image, pieces):
            if event.get("error"):
                raise EngineError("refused", "the engine cannot load it: {0}".format(event["error"]))
            found = re.match(r"Loaded image(?: ID)?: (\S+)", (event.get("stream") or "").strip())
            if found:
                loaded.append(found.group(1))
        return loaded

    def tag(self, ident, ref):
        """Give an image one more name, ``repository:tag``."""
        repository, dummy, tag = ref.rpartition(":")
        self._call(self._api.tag, ident, repository, tag, force=True)

    def file(self, ident, path, largest):
        """The content of one file of a container, running or not; None when there is none, or it is too large.

        :param largest: bytes, the tar around it included
        """
        try:
            chunks, _stat = self._call(self._api.get_archive, ident, path)
        except EngineError as exc:
            if exc.kind == "not_found":
                return None
            raise
        buffer = io.BytesIO()
        for chunk in chunks:
            buffer.write(chunk)
            if buffer.tell() > largest:
                return None
        buffer.seek(0)
        with tarfile.open(fileobj=buffer) as archive:
            entry = archive.next()
            stream = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            return stream.read() if stream is not None else None
