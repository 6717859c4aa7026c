# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the package ``vllm`` inside the test image. It loads no model and computes nothing."""

from __future__ import annotations

from vllm._version import __version__

__all__ = ["__version__"]
