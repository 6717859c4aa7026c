# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rank's head, seen in the kernel's table of connections: on this machine, and over time."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.cortex.vllm.plugins.module_utils import peers

PROC = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no /proc here")


@PROC
@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_connection_is_seen_while_it_lives(family, address):
    try:
        server = socket.socket(family)
        server.bind((address, 0))
    except OSError:
        pytest.skip("no {0} here".format(address))
    server.listen(1)
    port = server.getsockname()[1]
    theirs, ours = {"address": address, "port": port}, {"address": address, "local_port": port}
    assert peers.connected(theirs) is False and peers.connected(ours) is False
    rank = socket.create_connection((address, port))
    head, dummy = server.accept()
    assert peers.connected(theirs) is True and peers.connected(ours) is True
    assert peers.connected({"address": address, "port": rank.getsockname()[1] + 1}) is False
    # The head goes, the rank holds on: that is no live connection any more.
    head.close()
    server.close()
    assert peers.connected(theirs) is False and peers.connected(ours) is False
    rank.close()


def test_what_the_kernel_does_not_tell():
    assert peers.connected({"address": "127.0.0.1", "port": 1}, tables=("/nonexistent",)) is None


@pytest.mark.parametrize(
    "seen, gone_at",
    [
        ([False] * 20, None),  # the head has not come up yet: waiting is right
        ([True] * 20, None),
        ([False, True, True] + [False] * 10, 8),
        ([True, False, False, True] + [False] * 10, 9),
        ([None] * 20, None),
    ],
)
def test_gone_is_had_and_lost_for_a_while(seen, gone_at):
    looks = iter(seen)
    watch = peers.Watch([{"address": "10.0.0.1", "port": 29500}], look=lambda peer: next(looks))
    found = [second for second in range(len(seen)) if watch.gone(float(second))]
    assert (found[0] if found else None) == gone_at
    if found:
        assert "the head at 10.0.0.1 has ended" in watch.message


def test_a_head_is_believed_once_it_was_met():
    seen = [False, False, True, False]
    looks = iter(seen + seen)
    watch = peers.Watch([{"address": "10.0.0.1", "port": 29500, "keep": False}], look=lambda peer: next(looks, False))
    assert not watch.met
    watch.gone(0.0)
    watch.gone(1.0)
    assert watch.met
    # It only shook hands: that it is gone says nothing.
    assert not any(watch.gone(float(second)) for second in range(2, 30))


def test_nobody_is_waited_for_where_the_kernel_does_not_tell():
    assert peers.Watch([{"address": "10.0.0.1", "port": 29500}], look=lambda peer: None).met
    assert peers.Watch([{"address": "10.0.0.2", "local_port": 29500}], look=lambda peer: False).met
