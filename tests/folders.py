#!/usr/bin/env python3
"""Checks the #include lines of probes/ against the table of folders in docs/architecture.md.

    tests/folders.py        prints each include that the table does not allow; exit status 1 if any

The modules themselves are separated by their include paths. The folders of probes/ are one module.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBES = ROOT / "probes"


def rules() -> dict[str, list[str]]:
    """Returns the folders that the files of each folder may include; all are relative to
    probes/."""
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition("| folder of `probes/` |")[2].partition("\n\n")[0]
    found: dict[str, list[str]] = {}
    for line in table.splitlines()[2:]:
        folder, _, allowed = (cell.strip() for cell in line.strip("|").split("|"))
        found[folder.strip("`/")] = [name.rstrip("/") for name in re.findall(r"`([^`]+)`", allowed)]
    return found


def reaches_asio(path: Path, seen: set[Path]) -> bool:
    """Whether the file, or a file of the project that it includes, includes Asio."""
    seen.add(path)
    text = path.read_text()
    includes = {ROOT / name for name in re.findall(r'(?m)^#include "(.*)"', text)} - seen
    return "<boost/asio" in text or any(reaches_asio(each, seen) for each in includes)


def main() -> int:
    allowed = rules()
    others = allowed.pop("any other")
    shared = [*allowed, *others]
    wrong = []
    for path in sorted(PROBES.rglob("*.[ch]pp")):
        folder = path.parent.relative_to(PROBES).as_posix()
        may = [*allowed[folder], folder] if folder in allowed else [*shared, folder]
        for target in re.findall(r'(?m)^#include "probes/(.*)"', path.read_text()):
            if Path(target).parent.as_posix() not in may and target not in may:
                wrong.append(f"{path.relative_to(ROOT)} includes probes/{target}")
        if folder == "kubernetes/objects" and reaches_asio(path, set()):
            wrong.append(f"{path.relative_to(ROOT)} includes Asio")
    print("\n".join(wrong) or "every include of probes/ is allowed by docs/architecture.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
