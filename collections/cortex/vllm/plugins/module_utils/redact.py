# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!

"""Keeps secret values out of everything that is written: journals, logs, evidence, error text."""

from __future__ import annotations

import json
import re

MASK = "********"
#: As plugin_utils/spec/parts.py has it.
_SECRET_NAME = re.compile(
    r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRETS?|CREDENTIALS|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(_|$)", re.I
)

# A line of a secret of several lines (a key file) is a secret as well; shorter ones ("}") would mask half the log.
SHORTEST_LINE = 8


def secret_name(name):
    """Whether the name of a variable says that its value is a secret."""
    return bool(_SECRET_NAME.search(str(name).replace("-", "_")))


class Redactor:
    """Replaces every known secret value in text and in JSON-like data by ``********``."""

    def __init__(self, values=()):
        self._values = []
        self.add(values)

    def add(self, values):
        """Learn more values: an iterable of text; empty values are ignored."""
        known = set(self._values)
        for value in values:
            value = str(value)
            if not value.strip():
                continue
            known.add(value)
            known.add(value.strip())
            # The form it has inside a logged JSON text or a Python repr.
            known.add(json.dumps(value)[1:-1])
            known.add(repr(value)[1:-1])
            known.update(line for line in value.splitlines() if len(line) >= SHORTEST_LINE)
        # Longest first: a value that contains another one must go as a whole.
        self._values = sorted(known, key=len, reverse=True)

    def text(self, text):
        """``text`` without any known value."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return text

    def data(self, data):
        """A copy of JSON-like ``data`` in which every string, keys too, went through `text`."""
        if not self._values:
            return data
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, dict):
            return {self.data(key): self.data(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.data(value) for value in data]
        return data
