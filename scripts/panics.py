#!/usr/bin/env python3
"""Which panics are linked into the path of a frame: of the release static library of the C interface, on x86-64.

    scripts/panics.py            every place, by source line, that can be reached from a call that handles a frame
    scripts/panics.py --check    fails where a file panics in a way that crates/capi/panics.txt does not list
    scripts/panics.py --list     what crates/capi/panics.txt should hold

Reached means: by the relocations of the linked objects, whatever the values. Build it before
(cargo build --release -p hitgate-capi). SAFETY.md says why none of them happens. It ends with 3 where a tool is missing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "libhitgate.a"
LISTED = ROOT / "crates" / "capi" / "panics.txt"
# What is called for every frame.
CALLS = [
    "hitgate_engine_score",
    "hitgate_engine_score_prepared",
    "hitgate_engine_decide",
    "hitgate_path_step",
    "hitgate_path_return",
    "hitgate_path_lose",
    "hitgate_record_worth",
    "hitgate_path_heartbeat",
    "hitgate_path_looked",
    "hitgate_engine_looked",
    "hitgate_writer_reserve",
    "hitgate_writer_write",
    "hitgate_writer_commit",
]
# What the compiler calls to panic, by a part of the symbol.
KINDS = {
    "slice_index_fail": "a range of a slice",
    "panic_bounds_check": "an index",
    "panic_const_div": "a division",
    "panic_const_rem": "a division",
    "panic_fmt": "a check with a message",
    "panicking5panic": "a check with a message",
    "len_mismatch": "lengths of a copy",
    "unwrap_failed": "an unwrap",
    "expect_failed": "an unwrap",
    "panic_already": "a borrow",
    "panic_in_cleanup": "a panic in a panic",
    "panic_cannot_unwind": "the boundary",
    "catch_unwind7cleanup": "the boundary",
}


def read(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kind_of(name):
    """How a symbol panics; None where it does not."""
    return next((kind for part, kind in KINDS.items() if part in name), None)


def sections(objects):
    """Each section with the symbols that it refers to and where, and the section of each global symbol."""
    refers, places, of_symbol = {}, defaultdict(list), {}
    for file in objects:
        names, local, entries = {}, {}, []
        current = None
        for line in read("readelf", "-WSsr", file).splitlines():
            if found := re.match(r"\s*\[\s*(\d+)\]\s+(\S+)\s", line):
                names[found[1]] = found[2]
            elif found := re.match(r"\s*\d+:\s+[0-9a-f]+\s+\S+\s+(\w+)\s+(\w+)\s+\w+\s+(\d+)\s*(\S*)", line):
                kind, binding, section, name = found.groups()
                here = (file, names.get(section, ""))
                if kind == "SECTION":
                    local[here[1]] = here
                elif binding == "LOCAL":
                    local[name] = here
                else:
                    of_symbol.setdefault(name, here)
            elif found := re.match(r"Relocation section '\.rela(\S+)'", line):
                current = found[1]
            elif found := re.match(r"([0-9a-f]+)\s+[0-9a-f]+\s+R_\S+\s+[0-9a-f]+\s+(\S+)", line):
                if current and not current.startswith((".debug", ".eh_frame")):
                    entries.append((current, int(found[1], 16), found[2]))
        for section, offset, name in entries:
            refers.setdefault((file, section), set()).add(local.get(name, name))
            places[file, section].append((offset, name))
    return refers, places, of_symbol


def reached(refers, of_symbol):
    """The sections that are reached from the calls."""
    missing = [call for call in CALLS if call not in of_symbol]
    if missing:
        sys.exit(f"panics.py: {LIBRARY} lacks {', '.join(missing)}")
    waiting, found = [of_symbol[call] for call in CALLS], set()
    while waiting:
        section = waiting.pop()
        if section not in found:
            found.add(section)
            targets = refers.get(section, ())
            waiting += [of_symbol.get(to) if isinstance(to, str) else to for to in targets]
            waiting = [section for section in waiting if section]
    return found


def sources(file, section, offsets):
    """For each offset the line of ours, or of another crate, that the call was inlined from."""
    told = read("addr2line", "-a", "-i", "-j", section, "-e", file, *(hex(offset - 2) for offset in offsets))
    for of_one in re.split(r"^0x[0-9a-f]+$", told, flags=re.MULTILINE)[1:]:
        lines = [line.split(" ")[0] for line in of_one.split("\n") if line and "/rustc/" not in line]
        line = re.sub(r".*/registry/src/[^/]+/", "", next((line for line in lines if not line.startswith("?")), "?"))
        yield line.removeprefix(f"{ROOT.resolve()}/")


def panics():
    """Pairs of source line and kind."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["ar", "x", LIBRARY.resolve()], cwd=folder, check=True)
        objects = sorted(str(file) for file in Path(folder).glob("*.o"))
        refers, places, of_symbol = sections(objects)
        found = set()
        for file, section in reached(refers, of_symbol):
            # The standard library's own lines are the way down of a panic that began elsewhere.
            if not re.match(r"(hitgate|crc32fast|half|heapless|spin|bytemuck)", Path(file).name):
                continue
            sites = [(offset, kind) for offset, name in places[file, section] if (kind := kind_of(name))]
            if sites:
                lines = sources(file, section, [offset for offset, _ in sites])
                found.update(zip(lines, (kind for _, kind in sites), strict=True))
    return found


def main():
    if sys.argv[1:] not in ([], ["--check"], ["--list"]):
        sys.exit(__doc__.strip())
    absent = [tool for tool in ("ar", "readelf", "addr2line") if not shutil.which(tool)]
    if absent or not LIBRARY.exists():
        print(f"panics.py: there is no {', '.join(absent) or LIBRARY}", file=sys.stderr)
        sys.exit(3)
    found = panics()
    # A line moves with every change; a file and a kind do not. A version is Cargo.lock's affair.
    pairs = {f"{re.sub(r'-[0-9.]+/', '/', line.split(':')[0])}: {kind}" for line, kind in found}
    if not sys.argv[1:]:
        for line, kind in sorted(found):
            print(f"{line}: {kind}")
        print(f"{len(found)} places")
    elif sys.argv[1] == "--list":
        print("\n".join(sorted(pairs)))
    else:
        new = sorted(pairs - set(LISTED.read_text().splitlines()))
        if new:
            sys.exit("\n".join(["panics.py: new in the path of a frame; make it impossible, or list it:", *new]))
        print(f"panics: {len(pairs)} kinds at files, all listed")


if __name__ == "__main__":
    main()
