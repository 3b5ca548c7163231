"""Copy prepared maps and their labels, but for those of one set: what the importer may see of a detector that is left out."""

import argparse
import glob
import json
from pathlib import Path

import numpy as np


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("set", help="the set that is left out")
    parse.add_argument("out", type=Path, help="OUT.npy to write, with OUT.jsonl")
    parse.add_argument("--maps", nargs="+", required=True, metavar="NPY", help="maps to copy; glob patterns may be quoted")
    parse.add_argument("--at-most", type=int, metavar="N", help="so many of them, evenly over all")
    args = parse.parse_args()
    kept = []
    for path in sorted({Path(name) for pattern in args.maps for name in glob.glob(pattern)}):
        maps = np.load(path, mmap_mode="r")
        labels = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
        kept += [(maps[label["index"]], label) for label in labels if label.get("set") != args.set]
    if not kept:
        raise SystemExit(f"{' '.join(args.maps)}: no map of another set than {args.set}")
    if args.at_most and args.at_most < len(kept):
        kept = [kept[place] for place in np.linspace(0, len(kept) - 1, args.at_most).astype(int)]
    out = np.lib.format.open_memmap(args.out, "w+", np.uint8, (len(kept), *kept[0][0].shape))
    with open(args.out.with_suffix(".jsonl"), "w") as lines:
        for index, (one, label) in enumerate(kept):
            out[index] = one
            lines.write(json.dumps(label | {"index": index}) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
