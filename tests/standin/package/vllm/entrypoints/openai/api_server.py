# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entrypoint of the official images up to vLLM 0.11.0: ``python3 -m vllm.entrypoints.openai.api_server``."""

from __future__ import annotations

import sys

from vllm.standin.main import main

if __name__ == "__main__":
    sys.exit(main("api_server", sys.argv[1:]))
