# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test takes no mark that is not registered, and does not read the repository's pyproject.toml."""

from __future__ import annotations


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; left out by ./test --fast")
