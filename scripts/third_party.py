#!/usr/bin/env python3
"""What of others is in the program and in the C library.

    scripts/third_party.py notices   THIRD-PARTY-NOTICES: every crate with the texts of its licence
    scripts/third_party.py sbom      a software bill of materials, CycloneDX 1.5 as JSON

Both on the standard output, both of the versions in Cargo.lock: what is linked on Linux, on x86-64 and on 64-bit ARM.
Build scripts, macros and tests are left out. A licence that is not permissive ends it.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHIPPED = ["hitgate", "hitgate-capi"]
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
# In the order in which one is chosen where a crate offers several.
PERMISSIVE = ["MIT", "Apache-2.0", "Zlib", "ISC", "BSD-3-Clause", "BSD-2-Clause"]
TEXT = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)", re.IGNORECASE)


def shipped():
    """The packages that are linked, in order, and for each the ids of those that it uses."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    for platform in PLATFORMS:
        command += ["--filter-platform", platform]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def linked(id):
        for dependency in nodes[id]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            kinds = [kind for target in packages[dependency["pkg"]]["targets"] for kind in target["kind"]]
            if normal and "proc-macro" not in kinds:
                yield dependency["pkg"]

    uses = {}
    waiting = [id for id, package in packages.items() if package["name"] in SHIPPED]
    while waiting:
        id = waiting.pop()
        if id not in uses:
            uses[id] = sorted(linked(id))
            waiting += uses[id]
    order = sorted((packages[id] for id in uses), key=lambda package: (package["name"], package["version"]))
    return order, uses


def chosen(package):
    """The licence that a package is taken under."""
    offered = re.split(r"\s+OR\s+|\s*/\s*", package["license"] or "")
    for licence in PERMISSIVE:
        if licence in offered:
            return licence
    sys.exit(f"{package['name']}: {package['license']} is not permissive, or not known here")


def texts(package, licence):
    """The texts that come with a package, of the chosen licence where their names tell."""
    files = [file for file in Path(package["manifest_path"]).parent.iterdir() if file.is_file() and TEXT.match(file.name)]
    named = [file for file in files if licence.split("-")[0].lower() in file.name.lower()]
    notices = [file for file in files if file.name.upper().startswith("NOTICE")]
    for file in sorted(set(named + notices) or files):
        yield file.read_text(errors="replace").strip()


def notices(order):
    print("Third-party notices of hitgate, made by scripts/third_party.py. The standard library of Rust, which is linked")
    print("too, is under MIT or Apache-2.0. Of the crates:\n")
    crates = {}
    for package in order:
        if package["source"] is None:
            continue
        licence = chosen(package)
        print(f"{package['name']} {package['version']}: {licence} (offered: {package['license']}), {package['repository'] or 'no address'}")
        found = list(texts(package, licence))
        if not found:
            authors = ", ".join(package["authors"]) or "its authors"
            found = [f"By {authors}, without a text of the licence, {licence}; its terms are those below or in LICENSE-{licence[:3].upper()}."]
        for text in found:
            crates.setdefault(text, []).append(package["name"])
    print(f"\n{'=' * 80}\n{(ROOT / 'crates/cli/demo/README.md').read_text().strip()}")
    for text, names in sorted(crates.items(), key=lambda item: item[1]):
        print(f"\n{'=' * 80}\n{', '.join(names)}\n\n{text}")


def sbom(order, uses):
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}

    def component(package):
        checksum = checksums[package["name"], package["version"]]
        return {
            "type": "application" if package["name"] == "hitgate" else "library",
            "bom-ref": reference(package),
            "name": package["name"],
            "version": package["version"],
            "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}],
            "purl": reference(package),
            **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
        }

    def reference(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    packages = {package["id"]: package for package in order}
    program = next(package for package in order if package["name"] == "hitgate")
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(program)},
        "components": [component(package) for package in order if package is not program],
        "dependencies": [
            {"ref": reference(package), "dependsOn": [reference(packages[id]) for id in uses[package["id"]]]}
            for package in order
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


def main():
    if sys.argv[1:] not in (["notices"], ["sbom"]):
        sys.exit(__doc__.strip())
    order, uses = shipped()
    for package in order:
        chosen(package)
    notices(order) if sys.argv[1] == "notices" else sbom(order, uses)


if __name__ == "__main__":
    main()
