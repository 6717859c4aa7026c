# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""Import a vLLM source tree that is not built and not installed, beside libraries that are newer than it.

Only what a module cannot do without is replaced, by :class:`Stub`; everything of vLLM itself is the real code:

* ``vllm`` is an empty package whose path is the tree (the real ``__init__`` of old releases imports the engine);
* a module of vLLM that imports something missing (a compiled extension, a name that a library has dropped) gets a
  stub, unless the import stands in a ``try`` that handles it: then vLLM's own handling runs;
* the platform is the tree's own ``NonNvmlCudaPlatform``, with constants for what it would ask the hardware.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import types
from functools import lru_cache
from pathlib import Path
from typing import Any

_TOLERATED = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "AttributeError"}


class _Permissive(type):
    """Makes a class of which any attribute exists and which may be subscripted, joined by ``|`` and iterated."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return make_stub(f"{cls.__name__}.{name}")

    def __getitem__(cls, _item: Any) -> Any:
        return cls

    def __or__(cls, _other: Any) -> Any:
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Any:
        return iter(())

    def __len__(cls) -> int:
        return 0

    def __bool__(cls) -> bool:
        return False


def make_stub(name: str) -> Any:
    """A class that stands in for anything: base class, decorator, function, constant."""

    def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        # As a decorator it must give back what it decorates.
        if cls.__dict__.get("_is_stub") and len(args) == 1 and not kwargs and callable(args[0]):
            return args[0]
        return object.__new__(cls)

    def getattribute(_self: Any, attribute: str) -> Any:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        return make_stub(f"{name}.{attribute}")

    def call(_self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and callable(args[0]):
            return args[0]
        return make_stub(f"{name}()")

    return _Permissive(
        name.rpartition(".")[2] or "Stub",
        (),
        {
            "_is_stub": True,
            "__new__": new,
            "__init__": lambda self, *a, **k: None,
            "__init_subclass__": classmethod(lambda cls, **k: None),
            "__getattr__": getattribute,
            "__call__": call,
            "__module__": "harvester_stub",
            "__enter__": lambda self: self,
            "__exit__": lambda self, *a: None,
            "__iter__": lambda self: iter(()),
        },
    )


class _StubModule(types.ModuleType):
    """A module of which every name is a stub; ``behind`` is asked first (a library that lost a name)."""

    def __init__(self, name: str, behind: types.ModuleType | None = None) -> None:
        super().__init__(name)
        self.__dict__["_behind"] = behind
        self.__path__: list[str] = []
        self.__file__ = "<stub>"

    def __getattr__(self, attribute: str) -> Any:
        behind = self.__dict__.get("_behind")
        if behind is not None and hasattr(behind, attribute):
            return getattr(behind, attribute)
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        stub = make_stub(f"{self.__name__}.{attribute}")
        setattr(self, attribute, stub)
        return stub


@lru_cache(maxsize=None)
def _guarded_lines(path: str) -> frozenset[int]:
    """Lines of a source file inside the body of a ``try`` that handles a failing import."""
    lines: set[int] = set()
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            names: set[str] = set()
            for handler in node.handlers:
                if handler.type is None:
                    names.add("Exception")
                else:
                    names.update(n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name))
            if names & _TOLERATED:
                for statement in node.body:
                    lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
        elif isinstance(node, ast.With):
            # with contextlib.suppress(ImportError): import x
            text = ast.unparse(node.items[0].context_expr)
            if "suppress" in text and any(name in text for name in _TOLERATED):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(lines)


class TolerantImport:
    """``builtins.__import__`` that never fails for a module of vLLM (see the module's text).

    Attributes:
        stubbed: What was replaced, ``module`` or ``module:name``, in order.
    """

    def __init__(self) -> None:
        self.stubbed: list[str] = []
        self._real = builtins.__import__

    def install(self) -> None:
        """Replace the import statement for this process."""
        builtins.__import__ = self

    def __call__(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        importer = (globals or {}).get("__name__") or ""
        if not (importer == "vllm" or importer.startswith("vllm.")):
            return self._real(name, globals, locals, fromlist, level)
        try:
            module = self._real(name, globals, locals, fromlist, level)
        except Exception as error:
            if isinstance(error, ImportError) and self._handled(globals):
                raise
            module = self._replace(name, globals, fromlist, level)
        missing = [n for n in fromlist or () if n != "*" and not _has(module, n)]
        if missing and not self._handled(globals):
            self.stubbed.extend(f"{module.__name__}:{n}" for n in missing)
            return _StubModule(module.__name__, module)
        return module

    @staticmethod
    def _handled(globals: dict[str, Any]) -> bool:
        frame = sys._getframe(2)
        path = globals.get("__file__") or ""
        while frame is not None and frame.f_code.co_filename != path:
            frame = frame.f_back  # type: ignore[assignment]
        return frame is not None and frame.f_lineno in _guarded_lines(path)

    def _replace(self, name: str, globals: dict[str, Any], fromlist: Any, level: int) -> Any:
        if level:
            package = globals.get("__package__") or globals["__name__"].rpartition(".")[0]
            base = package.split(".")
            base = base[: len(base) - level + 1]
            name = ".".join(base + ([name] if name else []))
        self.stubbed.append(name)
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            path = ".".join(parts[:count])
            if path not in sys.modules:
                try:
                    importlib.import_module(path)
                except Exception:
                    sys.modules[path] = _StubModule(path)
                if count > 1:
                    setattr(sys.modules[".".join(parts[: count - 1])], parts[count - 1], sys.modules[path])
        return sys.modules[name] if fromlist else sys.modules[parts[0]]


def _has(module: types.ModuleType, name: str) -> bool:
    try:
        getattr(module, name)
        return True
    except AttributeError:
        pass
    except Exception:
        return False
    try:
        importlib.import_module(f"{module.__name__}.{name}")
        return True
    except Exception:
        return False


def empty_package(tree: Path, version: str) -> None:
    """Make ``vllm`` an empty package over the tree."""
    package = types.ModuleType("vllm")
    package.__path__ = [str(tree / "vllm")]
    package.__file__ = str(tree / "vllm" / "__init__.py")
    package.__version__ = version  # type: ignore[attr-defined]
    sys.modules["vllm"] = package
    # Generated at build time; the sdist of some releases lacks it.
    stamp = types.ModuleType("vllm._version")
    stamp.__version__ = stamp.version = version  # type: ignore[attr-defined]
    stamp.__version_tuple__ = stamp.version_tuple = tuple(  # type: ignore[attr-defined]
        int(part) if part.isdigit() else part for part in version.split(".")
    )
    sys.modules["vllm._version"] = stamp


def tame_libraries() -> None:
    """Answer what vLLM asks its compiled kernels while it is imported; let a model type be registered twice."""
    import torch

    real = torch._ops._OpNamespace.__getattr__

    def namespace(self: Any, op: str) -> Any:
        if "supports" in op and self.name.startswith("_C"):
            return lambda *a, **k: False
        return real(self, op)

    torch._ops._OpNamespace.__getattr__ = namespace
    from transformers import AutoConfig

    register = AutoConfig.register

    def tolerant(model_type: str, config: Any, exist_ok: bool = False) -> None:
        register(model_type, config, exist_ok=True)

    AutoConfig.register = staticmethod(tolerant)


GIB = 1 << 30
HARDWARE: dict[str, Any] = {"memory": 80 * GIB, "name": "NVIDIA H100 80GB HBM3", "capability": (9, 0)}


def force_cuda() -> str:
    """Make ``vllm.platforms.current_platform`` a CUDA platform that needs no GPU.

    Returns:
        The name of the class that it is made from.
    """
    from vllm import platforms
    from vllm.platforms import interface

    base: Any = None
    try:
        cuda = importlib.import_module("vllm.platforms.cuda")
        for name in ("NonNvmlCudaPlatform", "CudaPlatform"):
            candidate = getattr(cuda, name, None)
            if isinstance(candidate, type) and issubclass(candidate, interface.Platform):
                base = candidate
                break
    except Exception:
        base = None
    origin = base.__name__ if base else "Platform"
    if base is None:
        base = interface.Platform
    capability = getattr(interface, "DeviceCapability", None)

    def get_capability(cls: Any, device_id: int = 0) -> Any:
        return capability(*HARDWARE["capability"]) if isinstance(capability, type) else HARDWARE["capability"]

    overrides: dict[str, Any] = {
        "get_device_capability": classmethod(get_capability),
        "get_device_name": classmethod(lambda cls, device_id=0: HARDWARE["name"]),
        "get_device_uuid": classmethod(lambda cls, device_id=0: "GPU-00000000-0000-0000-0000-000000000000"),
        "get_device_total_memory": classmethod(lambda cls, device_id=0: HARDWARE["memory"]),
        "device_count": classmethod(lambda cls: 1),
        "is_fully_connected": classmethod(lambda cls, ids=(): True),
        "log_warnings": classmethod(lambda cls: None),
        "import_kernels": classmethod(lambda cls: None),
    }
    if origin == "Platform":
        overrides["_enum"] = interface.PlatformEnum.CUDA
        overrides["device_type"] = "cuda"
        overrides["device_name"] = "cuda"
    platform = type("HarvestPlatform", (base,), overrides)()
    platforms._current_platform = platform
    platforms.current_platform = platform
    return origin
