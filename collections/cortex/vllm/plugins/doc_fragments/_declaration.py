# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this doc fragment is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

# Written by tools/declaration-docs from the models of a declaration. Change those.

from __future__ import annotations


class ModuleDocFragment:
    # What servers and containers have in common.
    DOCUMENTATION = r"""
options:
  name:
    description:
    - Name on this host. The container is called C(cortex-vllm-<name>).
    type: str
    required: true
  image:
    description:
    - Image to run, by tag, digest or id.
    type: str
    required: true
  pull:
    description:
    - Whether an image that the host lacks may be pulled. What is there stays until an update is asked.
    type: str
    default: missing
    choices:
    - missing
    - never
  state:
    description:
    - What to converge to. V(held) leaves everything as it is and says so.
    type: str
    default: started
    choices:
    - started
    - stopped
    - absent
    - held
  held:
    description:
    - Why the server is held, and until when.
    type: dict
    suboptions:
      reason:
        description:
        - Why, for the next person.
        type: str
        required: true
      until:
        description:
        - Date or time (ISO 8601, UTC) after which the hold is over.
        type: str
  gpus:
    description:
    - 'GPUs: a number is a count; lists and text are indexes or UUIDs; V(all) or V(none).'
    type: raw
    default: none
  gpu_access:
    description:
    - 'How the engine is asked for GPUs: by the NVIDIA driver of device requests, or by CDI names. V(auto) takes CDI
      on podman.'
    type: str
    default: auto
    choices:
    - auto
    - nvidia
    - cdi
  env:
    description:
    - 'Environment variables. Everybody on the host can read them: no secrets here.'
    type: dict
    default: {}
  secrets:
    description:
    - Values that only a 0400 file and the process see.
    type: dict
    default:
      env: {}
    suboptions:
      api_key:
        description:
        - Key that clients must send. Exported as VLLM_API_KEY.
        type: raw
      hf_token:
        description:
        - Token for the Hugging Face Hub. Exported as HF_TOKEN.
        type: raw
      env:
        description:
        - Further secret environment variables, by name.
        type: dict
        default: {}
  mounts:
    description:
    - Further paths of the host, as C(source[:target[:ro|rw]]) or as a mapping; read-only unless said otherwise.
    type: list
    elements: raw
    default: []
  devices:
    description:
    - Devices of the host, such as C(/dev/infiniband/uverbs0).
    type: list
    elements: str
    default: []
  network:
    description:
    - 'Network: V(bridge), V(host), V(none) or a network''s name.'
    type: str
    default: bridge
  networks:
    description:
    - Further networks to connect to.
    type: list
    elements: str
    default: []
  ipc:
    description:
    - Whether /dev/shm is the host's.
    type: str
    default: private
    choices:
    - private
    - host
  shm_size:
    description:
    - 'Size of /dev/shm. Default: 16g with GPUs, 2g without.'
    type: str
  memory:
    description:
    - Memory limit.
    type: str
  cpus:
    description:
    - CPU limit, in cores.
    type: float
  ulimits:
    description:
    - 'Limits by name. Default with GPUs: C(memlock) -1 and C(stack) 67108864.'
    type: dict
  user:
    description:
    - 'Numeric user, or C(user:group), to run as. Default: the image''s.'
    type: str
  init:
    description:
    - Whether PID 1 passes signals on. Without it a stop before readiness is lost.
    type: bool
    default: true
  cap_add:
    description:
    - Capabilities to give back; all are dropped.
    type: list
    elements: str
    default: []
  security_opt:
    description:
    - Further security options of the engine.
    type: list
    elements: str
    default: []
  labels:
    description:
    - Further labels of the container.
    type: dict
    default: {}
  log:
    description:
    - Where the engine keeps the output, and how much of it.
    type: dict
    default:
      driver: json-file
      options:
        max-size: 50m
        max-file: '3'
    suboptions:
      driver:
        description:
        - Log driver of the engine.
        type: str
        default: json-file
      options:
        description:
        - Options of the driver, as text.
        type: dict
        default:
          max-size: 50m
          max-file: '3'
  restart_policy:
    description:
    - What the engine does when the server ends, once the server has been verified. vLLM exits 0 when its engine dies,
      so V(on-failure) would not bring it back.
    type: str
    default: unless-stopped
    choices:
    - 'no'
    - always
    - unless-stopped
    - on-failure
  start_timeout:
    description:
    - 'Seconds that a start may take. Default: by the size of the model, 10 to 60 minutes.'
    type: float
  stop_timeout:
    description:
    - Seconds from the wish to stop to the kill. A server gets at least ten more than its drain.
    type: float
    default: 30.0
  accept:
    description:
    - Codes of findings that somebody has decided to live with.
    type: list
    elements: str
    default: []
"""

    # What only a server has.
    SERVER = r"""
options:
  model:
    description:
    - 'Model: an id on the Hugging Face Hub, or the path of a directory or GGUF file on the host.'
    type: str
    required: true
  revision:
    description:
    - Branch, tag or commit on the Hub. The commit it stands for is what runs.
    type: str
  tokenizer:
    description:
    - 'Tokenizer, if not the model''s: Hub id or path.'
    type: str
  served_model_name:
    description:
    - 'Names that clients use; the first one is asked for a token. Default: the server''s name.'
    type: list
    elements: str
    default: []
  hub_cache:
    description:
    - 'Hub cache of the host, mounted read-only when O(offline), writable otherwise. Default for models and tokenizers
      of the Hub: C(/root/.cache/huggingface/hub).'
    type: str
  offline:
    description:
    - Whether the server may not ask the Hub for anything.
    type: bool
    default: false
  vllm_version:
    description:
    - Release of vLLM in the image, when the image cannot tell (own builds).
    type: str
  bind:
    description:
    - Address of the host to listen on.
    type: str
    default: 127.0.0.1
  server_port:
    description:
    - Port of the host to listen on.
    type: int
    default: 8000
  engine_args:
    description:
    - vLLM's own arguments by their names in any release, with C(-) or C(_).
    type: dict
    default: {}
  request_defaults:
    description:
    - 'Sampling defaults of requests: frequency_penalty, max_new_tokens, min_p, presence_penalty, repetition_penalty,
      temperature, top_k, top_p.'
    type: dict
    default: {}
  engine:
    description:
    - Generation of vLLM's engine. V(v0) exists up to vLLM 0.10, V(v1) from 0.6.4 on and alone from 0.11 on; V(auto)
      is what the release takes by itself.
    type: str
    default: auto
    choices:
    - auto
    - v0
    - v1
  model_runner:
    description:
    - Model runner inside of the V1 engine. V(v2) exists from vLLM 0.12 on; V(auto) is what the release takes by itself
      (from 0.22 on by the model).
    type: str
    default: auto
    choices:
    - auto
    - v1
    - v2
  debug:
    description:
    - What the server tells about itself, to look into a problem.
    type: dict
    default:
      trace_functions: false
      cuda_launch_blocking: false
    suboptions:
      level:
        description:
        - 'How much vLLM logs (C(VLLM_LOGGING_LEVEL)). Default: vLLM''s own, C(info).'
        type: str
        choices:
        - debug
        - info
        - warning
        - error
      stats_interval:
        description:
        - Seconds between two lines of statistics (C(VLLM_LOG_STATS_INTERVAL), vLLM 0.10.1 and newer).
        type: float
      trace_functions:
        description:
        - Whether every Python call of vLLM is written to a file (C(VLLM_TRACE_FUNCTION)); makes the server some hundred
          times slower.
        type: bool
        default: false
      cuda_launch_blocking:
        description:
        - Whether each GPU kernel is waited for (C(CUDA_LAUNCH_BLOCKING)), so that an error names the kernel that
          failed; makes the server several times slower.
        type: bool
        default: false
  nccl:
    description:
    - How the GPUs of the server talk to each other. What is set is written where NCCL, torch and vLLM read it; an
      empty mapping derives everything from the host.
    type: dict
    suboptions:
      profile:
        description:
        - 'What connects the GPUs: V(pcie) or V(nvlink) inside of one host, V(ethernet) or V(infiniband) (RoCE too)
          between hosts. V(auto) looks at the host. V(none) derives nothing.'
        type: str
        default: auto
        choices:
        - auto
        - none
        - pcie
        - nvlink
        - ethernet
        - infiniband
      interface:
        description:
        - 'Network interfaces between hosts (C(NCCL_SOCKET_IFNAME), C(GLOO_SOCKET_IFNAME)). Default: the one that
          has the host''s address.'
        type: list
        elements: str
        default: []
      hcas:
        description:
        - 'InfiniBand or RoCE adapters, as C(mlx5_0) or C(mlx5_0:1). Default: the active ones of the highest rate.'
        type: list
        elements: str
        default: []
      gid_index:
        description:
        - 'GID of RoCE adapters. Default: their RoCE v2 address, where they agree.'
        type: int
      infiniband:
        description:
        - V(off) keeps NCCL from InfiniBand and RoCE adapters.
        type: str
        default: auto
        choices:
        - auto
        - 'off'
      p2p:
        description:
        - How far apart two GPUs may be to read each other's memory directly. V(auto) leaves it to NCCL, unless a
          measurement on this host proved it broken. V(off) also turns vLLM's own all-reduce off.
        type: str
        default: auto
        choices:
        - auto
        - 'off'
        - nvl
        - pix
        - pxb
        - phb
        - sys
      shm:
        description:
        - V(off) keeps NCCL from host memory as a way.
        type: str
        default: auto
        choices:
        - auto
        - 'off'
      nvls:
        description:
        - Sums inside of NVSwitches (NVLink SHARP). V(auto) leaves it to NCCL.
        type: str
        default: auto
        choices:
        - auto
        - 'on'
        - 'off'
      gdr_level:
        description:
        - How far apart an adapter and a GPU may be for GPU Direct RDMA.
        type: str
        default: auto
        choices:
        - auto
        - loc
        - pix
        - pxb
        - phb
        - sys
      launch_mode:
        description:
        - How kernels of several GPUs in one process are launched. V(auto) leaves it to NCCL.
        type: str
        default: auto
        choices:
        - auto
        - parallel
        - group
      debug:
        description:
        - What NCCL tells (C(NCCL_DEBUG)).
        type: str
        default: warn
        choices:
        - none
        - version
        - warn
        - info
        - trace
      debug_subsystems:
        description:
        - 'Of what NCCL tells, from V(info) on: INIT, COLL, P2P, SHM, NET, GRAPH, TUNING, ENV, ALLOC, CALL, PROXY,
          NVLS, BOOTSTRAP, REG, PROFILE, RAS, ALL; C(^) excludes.'
        type: list
        elements: str
        default: []
      debug_file:
        description:
        - Whether NCCL writes to files, C(nccl.<host>.<pid>.log) in the server's C(run) directory.
        type: bool
        default: false
      timeout:
        description:
        - Seconds until a collective that stands still fails (C(--distributed-timeout-seconds), vLLM 0.18 and newer;
          the CPU's from 0.22 on). C(NCCL_TIMEOUT) is understood as this.
        type: float
      step_timeout:
        description:
        - 'Seconds that one step of the model may take before the server ends itself: the first thing to fire when
          tensor parallel ranks hang. C(VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS), vLLM 0.9.2 and newer; 300 unless said.'
        type: float
      ready_timeout:
        description:
        - Seconds that engine processes may take to come up (C(VLLM_ENGINE_READY_TIMEOUT_S), vLLM 0.14 and newer;
          its default is 600).
        type: float
      blocking_wait:
        description:
        - Whether torch waits for each collective on the CPU (C(TORCH_NCCL_BLOCKING_WAIT)).
        type: bool
      async_error_handling:
        description:
        - 'What torch does when a collective failed: 0 nothing, 1 end the process, 2 clean up, 3 end without cleaning
          up (C(TORCH_NCCL_ASYNC_ERROR_HANDLING)).'
        type: int
      env:
        description:
        - Further variables of NCCL, torch and gloo, checked against what they read.
        type: dict
        default: {}
  nodes:
    description:
    - Hosts of the inventory that the model spans, in the order of their ranks, as a list or with options. The same
      declaration holds for all of them; parallel sizes are those of the whole.
    type: dict
    suboptions:
      hosts:
        description:
        - Hosts of the inventory; the first one is the head, which clients ask.
        type: list
        elements: raw
        required: true
      rank:
        description:
        - Place of this host among them. Decided by the play from the host's name.
        type: int
      balancing:
        description:
        - 'Who spreads requests over data parallel ranks: V(internal) the head, V(hybrid) somebody else over the hosts
          and each host over its own, V(external) somebody else over all.'
        type: str
        default: internal
        choices:
        - internal
        - hybrid
        - external
      backend:
        description:
        - 'How the hosts work together: vLLM''s own way (0.11.1 and newer), or a Ray cluster that is started from
          the same image. V(auto) takes vLLM''s own where the release has it.'
        type: str
        default: auto
        choices:
        - auto
        - native
        - ray
      port:
        description:
        - First of 400 ports, of which each declaration has one.
        type: int
        default: 29500
  entrypoint:
    description:
    - 'Program that takes the arguments. Default: the image''s.'
    type: list
    elements: str
  share_gpus:
    description:
    - 'Whether other servers may have the same GPUs: each of them says so. They start one after the other, also when
      the host boots, because vLLM measures the free memory while it starts.'
    type: bool
    default: false
  restart_when_hung:
    description:
    - Whether a server that runs but gives no token any more is restarted.
    type: bool
    default: false
  drain_timeout:
    description:
    - Seconds that requests in flight have to finish when the server is stopped. Rendered as C(--shutdown-timeout)
      from vLLM 0.18 on; older releases finish them until they are killed. V(0) cuts them off.
    type: float
    default: 20.0
  warm_cache:
    description:
    - Whether weights are read into the page cache before a running server is stopped, as far as memory is available.
    type: bool
    default: true
  prove:
    description:
    - V(image) lets the image's own parser read the command line before anything is stopped, in a one-off container
      without GPU and network. Once for an image and command line, 10 to 60 seconds. V(model) also lets it load the
      model's configuration and tokenizer there, with the model mounted read-only. Once for an image and model.
    type: str
    default: none
    choices:
    - none
    - image
    - model
  probe:
    description:
    - What must be answered before the server counts as ready.
    type: dict
    default:
      request: auto
      token_timeout: 120.0
    suboptions:
      request:
        description:
        - V(completion) asks the declared name for a token, V(json_schema), V(regex), V(grammar) and V(choice) for
          an answer in that form, V(tool_call) for a call of a tool, V(embedding) and V(score) for what pooling models
          give; V(none) is content with C(/health). V(auto) asks for a token unless the server only pools (embeddings,
          scores, classes).
        type: str
        default: auto
        choices:
        - auto
        - completion
        - json_schema
        - regex
        - grammar
        - choice
        - tool_call
        - embedding
        - score
        - none
      token_timeout:
        description:
        - Seconds that the first token may take.
        type: float
        default: 120.0
"""

    # What only a container has.
    CONTAINER = r"""
options:
  command:
    description:
    - 'Arguments. Default: the image''s.'
    type: list
    elements: str
  entrypoint:
    description:
    - 'Program to run. Default: the image''s.'
    type: list
    elements: str
  ports:
    description:
    - Ports to publish, as a number, C([address:][port:]container_port[/udp]) or a mapping. The address is 127.0.0.1
      unless another is written.
    type: list
    elements: raw
    default: []
"""
