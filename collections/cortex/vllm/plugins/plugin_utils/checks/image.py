# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The image: there or to be fetched, and made for this machine."""

from __future__ import annotations

from .context import Findings, Server

#: Go's names of architectures by the kernel's.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def check(server: Server) -> Findings:
    """Source: OCI image configuration, ``architecture``; engines report a foreign one only as ``exec format error``."""
    spec, image = server.spec, server.image
    if image is None:
        if getattr(spec, "pull", "missing") == "never":
            yield server.finding(
                "image.absent",
                "error",
                f"image {spec.image} is not on the host, and pull is never",
                "image",
                f"Load it there: docker save {spec.image} | ssh HOST docker load. Or set pull: missing.",
                spec.image,
            )
        return
    machine = server.observation.host.get("architecture") or server.observation.engine.get("architecture")
    wanted = _ARCHITECTURES.get(str(machine), machine)
    if wanted and image.get("architecture") and image["architecture"] != wanted:
        yield server.finding(
            "image.architecture",
            "error",
            f"image {spec.image} is built for {image['architecture']}, the host is {wanted}",
            "image",
            f"Pull the image for {wanted} (docker pull --platform linux/{wanted} …).",
            spec.image,
        )
    if image.get("os") and image["os"] != "linux":
        yield server.finding(
            "image.architecture",
            "error",
            f"image {spec.image} is built for {image['os']}",
            "image",
            "Use a Linux image.",
        )
