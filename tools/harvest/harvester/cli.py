# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``tools/harvest/harvest``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import compare, environment, fetch, page, write

ROOT = environment.HERE.parent.parent
PLUGINS = ROOT / "collections" / "cortex" / "vllm" / "plugins" / "plugin_utils"
DATA = PLUGINS / "catalog" / "data"
PAGE = ROOT / "docs" / "compatibility.md"


def run(module: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a module of the tool in the isolated environment, with nothing of the caller's Python set-up."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VLLM_", "CUDA_"))}
    clean |= {
        "PYTHONPATH": str(environment.HERE),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.run(
        ["nice", "-n", "15", str(environment.python()), "-m", f"harvester.{module}", *arguments],
        env=clean | (env or {}),
        text=True,
        capture_output=True,
        check=False,
    )


def harvest(version: str, *, keep: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the document of one release.

    Returns:
        The document for the data file, and the raw answer with help texts, stubs and notes.

    Raises:
        SystemExit: the source cannot be fetched or read; the message says why.
    """
    sources = environment.cache() / "sources"
    sources.mkdir(exist_ok=True)
    source = fetch.cached(version, sources)
    if source is None:
        fetched = run("fetch", version, str(sources))
        if fetched.returncode:
            raise SystemExit(fetched.stderr.strip() or f"harvest: {version} could not be fetched")
        source = json.loads(fetched.stdout)
    folder = Path(tempfile.mkdtemp(prefix=f"vllm-{version}-", dir=environment.cache()))
    try:
        tree = fetch.unpack(Path(source.pop("path")), folder)
        out = folder / "answer.json"
        probed = run("probe", str(tree), version, env={"HARVEST_ANSWER": str(out)})
        if probed.returncode or not out.exists():
            raise SystemExit(f"harvest: vLLM {version} could not be read:\n{probed.stderr[-4000:]}")
        answer = json.loads(out.read_text(encoding="utf-8"))
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return write.document(version, source, answer), answer


def ordered(versions: list[str]) -> list[str]:
    """Oldest first, each once; the order is the loader's own."""
    sys.path.insert(0, str(ROOT / "collections"))
    from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog.store import version_key

    return sorted(set(versions), key=version_key)


def known() -> list[str]:
    """Versions that have a data file, oldest first."""
    return ordered([path.stem for path in DATA.glob("[0-9]*.json")])


def load(version: str) -> dict[str, Any]:
    """The document of a release that was harvested before."""
    document: dict[str, Any] = json.loads((DATA / f"{version}.json").read_text(encoding="utf-8"))
    return document


def save(version: str, document: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Write the release, the index and the descriptions; True when the release's file changed."""
    changed = write.write(DATA, document)
    versions = known()
    write.write_index(DATA, versions)
    path = DATA / "help.json"
    texts = json.loads(path.read_text(encoding="utf-8"))["flags"] if path.exists() else {}
    fresh = {name: entry.get("help") for name, entry in answer["flags"].items()}
    write.write_help(DATA, write.merge_help(texts, version, fresh, versions))
    save_history()
    return changed


def save_history() -> None:
    """Write anew, from the releases' files, when everything came and went."""
    sys.path.insert(0, str(ROOT / "collections"))
    from ansible_collections.cortex.vllm.plugins.plugin_utils.catalog import history, store

    for cache in (store._index, store._by_key, store._load, history._history):
        cache.cache_clear()
    write.write_history(DATA, history.compute())


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and do it; the exit status is 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="harvest", description="Add vLLM releases to the catalogue of cortex.vllm.")
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="a release, for instance 0.34.0")
    parser.add_argument("--all", action="store_true", help="harvest every release of the catalogue again")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    parser.add_argument("--changes", action="store_true", help="only print what changed, from the files as they are")
    parser.add_argument(
        "--page", action="store_true", help="only write docs/compatibility.md and history.json from the files"
    )
    parser.add_argument("--verbose", action="store_true", help="say what was replaced by stubs")
    options = parser.parse_args(argv)
    versions = ordered(options.versions + (known() if options.all else []))
    if not versions and not options.page:
        parser.error("name a release, or --all, or --page")
    differs = False
    for version in versions:
        if not options.changes:
            document, answer = harvest(version)
            for note in answer["notes"]:
                print(f"{version}: note: {note}", file=sys.stderr)
            if options.verbose:
                print(f"{version}: stubs: {', '.join(answer['stubbed'])}", file=sys.stderr)
            if options.check:
                same = (DATA / f"{version}.json").read_text(encoding="utf-8") == write.render(document)
                differs |= not same
                print(f"{version}: {'the same' if same else 'DIFFERS'}")
                continue
            changed = save(version, document, answer)
            print(f"{version}: {'written' if changed else 'unchanged'}", file=sys.stderr)
        before = [other for other in known() if ordered([other, version])[0] == other and other != version]
        if version in known() and before and not (options.all and not options.changes):
            print(compare.text(load(before[-1]), load(version)))
    if options.page:
        save_history()
    if options.page or (versions and not options.check and not options.changes):
        PAGE.write_text(page.render([load(version) for version in known()]), encoding="utf-8")
    return int(differs)
