# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harvest tool reads from a source tree without importing it, and how it imports one that is incomplete."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "harvest"


def tree_of(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def test_entrypoint_and_labels_come_from_the_target_and_its_bases(harvester):
    text = """\
        FROM ubuntu AS base
        LABEL a.one="x=1 y" \\
              a.two=y
        FROM base AS vllm-openai-base
        ENTRYPOINT ["wrong"]
        FROM vllm-openai-base AS vllm-sagemaker
        ENTRYPOINT ["./sagemaker.sh"]
        FROM --platform=linux/amd64 vllm-openai-base AS vllm-openai
        ENTRYPOINT ["vllm", "serve"]
        FROM vllm-openai AS vllm-openai-nonroot
        ENTRYPOINT ["/nonroot.sh"]
        """
    target = harvester.image.stages(textwrap.dedent(text))["vllm-openai"]
    assert target["entrypoint"] == ["vllm", "serve"]
    assert set(target["labels"]) >= {"a.one", "a.two"}


def test_without_a_dockerfile_the_tool_says_so(harvester, tmp_path):
    notes = []
    assert harvester.image.read(tmp_path, (0, 15, 1), notes)["entrypoint"] == ["vllm", "serve"]
    assert harvester.image.read(tmp_path, (0, 6, 0), notes)["entrypoint"][0] == "python3"
    assert len(notes) == 2


def test_environment_by_syntax(harvester):
    tree = ast.parse(
        textwrap.dedent(
            """
            if TYPE_CHECKING:
                VLLM_A: Optional[int] = None
                VLLM_B: Literal["x", "y"] = "x"
                VLLM_C: Union[str, None] = None
            environment_variables: dict[str, Callable[[], Any]] = {
                "VLLM_A": lambda: int(os.environ["VLLM_A"]) if "VLLM_A" in os.environ else None,
                "VLLM_B": env_with_choices("VLLM_B", "x", ["y", "x"]),
                "VLLM_C": lambda: os.getenv("VLLM_C"),
                "VLLM_D": env_with_choices("VLLM_D", None, CHOICES),
            }
            """
        )
    )
    module = harvester.environment_variables
    assert module.annotated(tree) == {"VLLM_A": "int | None", "VLLM_B": 'Literal["x", "y"]', "VLLM_C": "str | None"}
    found = module.registered(tree)
    assert list(found) == ["VLLM_A", "VLLM_B", "VLLM_C", "VLLM_D"]
    assert module.choices_of(found["VLLM_B"]) == ["x", "y"]
    assert module.choices_of(found["VLLM_A"]) is None
    assert module.choices_of(found["VLLM_D"]) is None


def test_a_name_made_up_at_import_is_seen(harvester, tmp_path):
    path = tmp_path / "envs.py"
    path.write_text("import uuid\nNAME = uuid.uuid4().hex\nread = lambda: NAME\nfixed = lambda: 1\n", encoding="utf-8")
    one, two = harvester.environment_variables.fresh(path), harvester.environment_variables.fresh(path)
    assert one.read() == one.read() != two.read()
    assert one.fixed() == two.fixed()


def test_routes(harvester, tmp_path):
    tree_of(
        tmp_path,
        {
            "vllm/entrypoints/api_server.py": '@app.post("/generate")\ndef generate(): ...',
            "vllm/entrypoints/openai/api_server.py": """
                from vllm.entrypoints.serve.rl import routers
                @router.get("/health")
                async def health(): ...
                @router.api_route("/ping", methods=["GET", "POST"])
                async def ping(): ...
                if envs.VLLM_SERVER_DEV_MODE:
                    @router.post("/reset")
                    async def reset(): ...
                def build_app(args):
                    app.routes.append(Mount("/metrics", make_asgi_app()))
                    from vllm.entrypoints.serve.sleep import attach_router
                    if envs.VLLM_SERVER_DEV_MODE:
                        from vllm.entrypoints.serve.factory import register
                """,
            "vllm/entrypoints/serve/sleep.py": """
                @router.post("/sleep")
                async def sleep(): ...
                def attach_router(app):
                    if not envs.VLLM_SERVER_DEV_MODE:
                        return
                """,
            "vllm/entrypoints/serve/factory.py": "from .pause import router",
            "vllm/entrypoints/serve/pause.py": 'router.add_api_route("/pause", pause, methods=["POST"])',
            "vllm/entrypoints/serve/rl.py": '@router.websocket("/v1/realtime")\nasync def realtime(): ...',
            "vllm/entrypoints/serve/dev/cache.py": '@router.post("/reset_cache")\ndef reset(): ...',
        },
    )
    assert harvester.routes.endpoints(tmp_path) == {
        "/health": {"methods": ["GET"]},
        "/metrics": {"methods": ["GET"]},
        "/pause": {"methods": ["POST"], "dev": True},
        "/ping": {"methods": ["GET", "POST"]},
        "/reset": {"methods": ["POST"], "dev": True},
        "/reset_cache": {"methods": ["POST"], "dev": True},
        "/sleep": {"methods": ["POST"], "dev": True},
        "/v1/realtime": {"methods": ["WEBSOCKET"]},
    }


def test_archives_are_unpacked_to_what_is_read(harvester, tmp_path):
    def add(tar, name, text=b""):
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))

    with tarfile.open(tmp_path / "vllm-9.tar.gz", "w:gz") as tar:
        for name in ("vllm/envs.py", "docker/Dockerfile", "csrc/a.cu", "tests/a.py", "vllm/x.so"):
            add(tar, f"vllm-9/{name}")
    found = harvester.fetch.unpack(tmp_path / "vllm-9.tar.gz", tmp_path / "sdist")
    files = sorted(path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file())
    assert files == ["docker/Dockerfile", "vllm/envs.py"]
    with zipfile.ZipFile(tmp_path / "vllm-9.whl", "w") as wheel:
        wheel.writestr("vllm/envs.py", "")
        wheel.writestr("vllm/_C.so", "")
    found = harvester.fetch.unpack(tmp_path / "vllm-9.whl", tmp_path / "wheel")
    assert [path.name for path in found.rglob("*") if path.is_file()] == ["envs.py"]


def test_a_damaged_archive_is_fetched_again(harvester, tmp_path):
    archive = tmp_path / "vllm-9.tar.gz"
    archive.write_bytes(b"content")
    known = {
        "kind": "sdist",
        "name": archive.name,
        "sha256": hashlib.sha256(b"content").hexdigest(),
        "path": str(archive),
    }
    (tmp_path / "9.json").write_text(json.dumps(known), encoding="utf-8")
    assert harvester.fetch.cached("9", tmp_path) == known
    assert harvester.fetch.cached("8", tmp_path) is None
    archive.write_bytes(b"conten")
    assert harvester.fetch.cached("9", tmp_path) is None


def test_an_archive_cannot_write_outside(harvester, tmp_path):
    with tarfile.open(tmp_path / "vllm-9.tar.gz", "w:gz") as tar:
        for name in ("vllm-9/vllm/../../../escaped.py", "vllm-9/vllm/envs.py"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match="outside"):
        harvester.fetch.unpack(tmp_path / "vllm-9.tar.gz", tmp_path / "out")
    assert not (tmp_path / "escaped.py").exists()


TOLERANT = """
import sys
from pathlib import Path
from harvester import stubs
stubs.empty_package(Path({tree!r}), "9.9.9")
tolerant = stubs.TolerantImport()
tolerant.install()
import vllm.real
print(vllm.real.result())
print(sorted(tolerant.stubbed))
try:
    import nothing_of_that_name
except ImportError:
    print("others still fail")
"""


def test_imports_fail_only_where_vllm_expects_it(tmp_path):
    tree_of(
        tmp_path,
        {
            "vllm/__init__.py": "raise RuntimeError('the real package must not be imported')",
            "vllm/real.py": """
                import missing_extension
                from missing_library.part import Base, decorate
                from json import dumps, no_such_name
                from vllm.sibling import VALUE
                from vllm import LLM
                from contextlib import suppress
                try:
                    import optional_library
                    OPTIONAL = True
                except ImportError:
                    OPTIONAL = False
                with suppress(ImportError):
                    import other_optional
                class Derived(Base): pass
                @decorate
                def plain(): return "plain"
                @decorate("with", arguments=True)
                def called(): return "called"
                def result():
                    return [Derived.__name__, plain(), called(), OPTIONAL, dumps([1]), VALUE,
                            "other_optional" in globals(), bool(no_such_name)]
                """,
            "vllm/sibling.py": "from missing_library import thing\nVALUE = 7\nUNION = thing | None",
        },
    )
    done = subprocess.run(
        [sys.executable, "-c", TOLERANT.format(tree=str(tmp_path))],
        env={**os.environ, "PYTHONPATH": str(TOOL)},
        capture_output=True,
        text=True,
        check=True,
    )
    result, stubbed, others = done.stdout.splitlines()
    assert result == "['Derived', 'plain', 'called', False, '[1]', 7, False, False]"
    for name in ("missing_extension", "missing_library.part", "json:no_such_name", "vllm:LLM"):
        assert repr(name) in stubbed
    assert "optional" not in stubbed
    assert others == "others still fail"
