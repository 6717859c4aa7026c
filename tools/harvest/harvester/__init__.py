# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the release catalogue of cortex.vllm from vLLM's released source."""
