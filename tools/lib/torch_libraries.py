"""Which libraries a torch wheel links to, as requirement lines.

A CUDA build of torch refuses to be imported without NVIDIA's libraries, on a machine without a GPU too.

Usage: torch_libraries.py FOLDER torch==VERSION     prints the requirements that the wheel in FOLDER names
       torch_libraries.py --pins FOLDER             prints name==version for each wheel in FOLDER
"""

from __future__ import annotations

import pathlib
import re
import sys
import zipfile


def libraries(folder: pathlib.Path, requirement: str) -> list[str]:
    """The requirements of the wheel that are shared libraries, without their markers (all are for Linux)."""
    version = requirement.partition("==")[2]
    (wheel,) = (path for path in folder.glob(f"torch-{version}*.whl") if "+cpu" not in path.name)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    lines = re.findall(r"^Requires-Dist: ([^\n]+)", metadata, re.MULTILINE)
    wanted = [line for line in lines if re.match(r"(nvidia|cuda)-", line) and "extra ==" not in line]
    return [line.split(";")[0].strip() for line in wanted]


def pins(folder: pathlib.Path) -> list[str]:
    """name==version of each wheel, from the wheel's file name."""
    return ["{}=={}".format(*path.name.split("-")[:2]) for path in sorted(folder.glob("*.whl"))]


def main() -> int:
    if sys.argv[1] == "--pins":
        lines = pins(pathlib.Path(sys.argv[2]))
    else:
        lines = libraries(pathlib.Path(sys.argv[1]), sys.argv[2])
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
