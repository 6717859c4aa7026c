# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a vLLM image: parses command lines, a JSON list of lists on stdin, with the installed vLLM's own parser."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, "/repository/tools/harvest")
sys.argv = ["vllm"]

import vllm
from harvester import flags, parsers

base, serve, notes = parsers.build_parsers(Path(vllm.__file__).parent.parent)


def parse(argv):
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            full = vars(serve.parse_args(list(argv)))
    except SystemExit:
        return {"error": errors.getvalue().strip().splitlines()[-1]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    # Only what differs: a parser has hundreds of defaults.
    return {"values": {name: shown(value) for name, value in full.items() if not same(defaults.get(name), value)}}


def same(default, value):
    return default is value or (type(default) is type(value) and default == value)


def shown(value):
    try:
        return flags.plain(value)
    except ValueError:
        if isinstance(value, list):
            return [shown(item) for item in value]
        # The fields of a configuration that are plain; those that it was given are among them.
        fields = {}
        for name, item in getattr(value, "__dict__", {}).items():
            with contextlib.suppress(ValueError):
                fields[name] = flags.plain(item)
        return {"object": type(value).__name__, "fields": fields}


defaults = vars(serve.parse_args([]))
answers = [parse(argv) for argv in json.load(sys.stdin)]
said = {name: shown(value) for name, value in defaults.items()}
print("\nANSWER" + json.dumps({"answers": answers, "defaults": said}))
