#!/bin/sh
# Runs in the build container: installs vLLM from /mnt/wheels into the system Python.
# /mnt/recipe: this folder. pip comes from the machine (PYTHONPATH); the image gets none.
set -eu
release=$(cat /mnt/recipe/release)

# The kernels link to libnuma; without it the worker process dies late in the start-up.
# libgomp is OpenMP, which the CPU kernels run on.
apt-get update -qq
apt-get install -y -qq --no-install-recommends libnuma1 >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt/* /var/log/dpkg.log

echo "install the wheels"
python3 -m pip install -q --no-index --find-links /mnt/wheels --no-deps --no-compile --no-cache-dir \
  --root-user-action=ignore --break-system-packages -r /mnt/wheels/requirements.txt

echo "complete and slim"
python3 -B /mnt/recipe/finish.py "$release"

# Without this every start of a new container compiles all modules again.
echo "byte-compile"
python3 -m compileall -q -j0 --invalidation-mode unchecked-hash /usr/local/lib/python3*/dist-packages >/dev/null 2>&1 || true

# vLLM inspects a model class in a subprocess at the first start, with all imports; the result is kept here.
echo "inspect the model class"
PYTHONPATH='' python3 -c "from vllm.model_executor.models.registry import ModelRegistry as R; R.models['Qwen3ForCausalLM'].inspect_model_cls()" >/dev/null 2>&1

PYTHONPATH='' vllm --version 2>/dev/null
mkdir -p /vllm-workspace
rm -rf /tmp/* /root/.cache/pip
