#!/usr/bin/env python3
"""Static bounds of the pointwise inner loops on ARM: multiply-adds a cycle, by llvm-mca's models of three CPUs.

    scripts/arm_bounds.py      prints the table of crates/kernels/KERNELS.md

It compiles the core for aarch64 (the standard library for that target must be installed: scripts/arm.sh --install),
takes from the assembly the loop of each level that multiplies most, and lets llvm-mca run it with all data in the first
cache. A model is not a CPU: these are bounds to compare loops by, not times.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TARGET = "aarch64-unknown-linux-gnu"
# A level, its type, and the multiply-adds of each of its instructions that multiply.
LEVELS = {
    "neon": ("neon..Neon$", {"smull": 8, "smlal": 8}),
    "neon-dotprod": ("neon_dotprod..NeonDotprod$", {"sdot": 16}),
    "neon-i8mm": ("neon_i8mm..NeonI8mm$", {"smmla": 32}),
}
# A CPU, and the levels that it has.
CPUS = {
    "cortex-a53": ["neon"],
    "cortex-a78": ["neon", "neon-dotprod"],
    "neoverse-v2": ["neon", "neon-dotprod", "neon-i8mm"],
}
ITERATIONS = 200


def assembly(root):
    """The core for the target, as assembly."""
    folder = root / "target" / "bounds"
    environment = os.environ | {"CARGO_TARGET_DIR": str(folder)}
    command = "cargo rustc --release --quiet --lib -p hitgate-core --target " + TARGET
    emit = "-- --emit asm -C codegen-units=1 -C debuginfo=0"
    subprocess.run([*command.split(), *emit.split()], cwd=root, env=environment, check=True)
    files = (folder / TARGET / "release" / "deps").glob("hitgate_core-*.s")
    return max(files, key=lambda file: file.stat().st_mtime).read_text().splitlines()


def loops(lines):
    """Each loop without a label inside: its function and its instructions."""
    function = label = None
    for number, line in enumerate(lines):
        if found := re.match(r"(\S+):", line):
            label = found[1] if found[1].startswith(".L") else None
            function = function if label else found[1]
            start = number + 1
        elif label and re.match(r"\t(b|b\.\w+|cbn?z|tbn?z)\t.*" + re.escape(label) + r"$", line):
            body = [line.strip() for line in lines[start : number + 1]]
            yield function, [line for line in body if line and line[0] not in ".#/"]


def multiply_adds(body, multiplies):
    return sum(multiplies.get(line.split()[0], 0) for line in body)


def cycles(body, cpu, mca):
    """Cycles that one pass of the loop takes in the long run."""
    text = "\n".join(["loop:", *(re.sub(r"\.LBB\w+", "loop", line) for line in body)])
    command = [mca, "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm", f"-iterations={ITERATIONS}"]
    output = subprocess.run(command, input=text, text=True, capture_output=True, check=True).stdout
    return int(re.search(r"Total Cycles: +(\d+)", output)[1]) / ITERATIONS


def main():
    mca = next(filter(shutil.which, ["llvm-mca-19", "llvm-mca"]), None)
    if mca is None:
        sys.exit("arm_bounds.py: there is no llvm-mca; apt-get install llvm-19")
    every = list(loops(assembly(Path(__file__).resolve().parent.parent)))
    print("| level | multiply-adds a pass | instructions |", " | ".join(CPUS), "|")
    print("|---|---|---|" + "---|" * len(CPUS))
    for level, (name, multiplies) in LEVELS.items():
        own = [body for function, body in every if name in function and "vectorize" in function]
        body = max(own, key=lambda body: multiply_adds(body, multiplies), default=[])
        work = multiply_adds(body, multiplies)
        if work == 0:
            sys.exit(f"arm_bounds.py: the assembly has no loop of level {level}")
        rates = [f"{work / cycles(body, cpu, mca):.1f}" if level in has else "–" for cpu, has in CPUS.items()]
        print(f"| {level} | {work} | {len(body)} |", " | ".join(rates), "|")


if __name__ == "__main__":
    main()
