#!/usr/bin/env python3
"""Static bounds of the inner loops on ARM: work a cycle, by llvm-mca's models of three CPUs.

    scripts/arm_bounds.py      prints the table of crates/kernels/KERNELS.md

It compiles the core for aarch64 (the standard library for that target must be installed: scripts/arm.sh --install),
knows each loop in the assembly by its instructions, and lets llvm-mca run it with all data in the first cache. A model is
not a CPU: these are bounds to compare loops by, not times.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TARGET = "aarch64-unknown-linux-gnu"
# A kernel, its level, what it makes, the name of its function, what its loop has of instructions and has not, and what
# each of an instruction makes. Of several such loops the one counts that makes most an instruction.
KERNELS = [
    ("pointwise", "neon", "multiply-adds", r"neon\.\.Neon\$", "smull smlal", "fcvtns", {"smull": 8, "smlal": 8}),
    ("pointwise", "neon-dotprod", "multiply-adds", r"NeonDotprod\$", "sdot", "fcvtns", {"sdot": 16}),
    ("pointwise", "neon-i8mm", "multiply-adds", r"NeonI8mm\$", "smmla", "fcvtns", {"smmla": 32}),
    ("depthwise, stride 1", "neon", "activations", "", "smull umin fcvtns", "sdot ld1r dup", {"umin": 8}),
    ("depthwise, stride 1", "neon-dotprod", "activations", "", "sdot zip1 umin fcvtns", "ld1r dup", {"umin": 8}),
    ("peaks", "neon", "pixels", r"neon\.\.Neon\$", "saddlp ssra smax", "", {"saddlp": 8}),
]
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


def has(body, mnemonics):
    return {line.split()[0] for line in body}.issuperset(mnemonics.split())


def made(body, each):
    return sum(each.get(line.split()[0], 0) for line in body)


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
    print("| kernel | level | a pass | instructions |", " | ".join(CPUS), "|")
    print("|---|---|---|---|" + "---|" * len(CPUS))
    for kernel, level, unit, name, needed, foreign, each in KERNELS:
        own = (body for function, body in every if re.search(name, function) and has(body, needed))
        own = [body for body in own if not any(has(body, mnemonic) for mnemonic in foreign.split())]
        if not own:
            sys.exit(f"arm_bounds.py: the assembly has no loop of {kernel} on {level}")
        body = max(own, key=lambda body: made(body, each) / len(body))
        work = made(body, each)
        rates = [f"{work / cycles(body, cpu, mca):.3g}" if level in levels else "–" for cpu, levels in CPUS.items()]
        print(f"| {kernel} | {level} | {work} {unit} | {len(body)} |", " | ".join(rates), "|")


if __name__ == "__main__":
    main()
