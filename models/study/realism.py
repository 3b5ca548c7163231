"""Can simulated frames be told from real ones? The same simple statistics of both, side by side, detector by detector.

    cargo build --release -p hitgate
    cargo build --release -p hitgate-formats --example pixels
    python models/study/realism.py TRUTH.jsonl --seeds 12 --table models/study/realism.md --pictures pictures.png

TRUTH.jsonl names real frames as `hitgate eval --truth` reads them. Each is compared with frames of the same class and
detector, one a seed, each with a geometry of its own. `--as SET=DETECTOR` names the detector where the set is called otherwise.
The table replaces whatever stands in its file from the line "## Table" on. Simulated frames stay in `--work`.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

BLOCK = 16
# Half the side of the square in which the shape of a spot is measured, pixels.
REACH = 10
# Those of which the shape is measured: well above the noise, and this far from the next.
BRIGHT_SNR, APART = 25, 14
GAUSS = 2.3548


@dataclass
class Frame:
    """One frame as the program reads it: pixels are f32, NaN where excluded; `about` is its sidecar; `spots` are those that
    `hitgate spots` lists, columns x, y, counts, snr, pixels."""

    label: dict
    pixels: np.ndarray
    about: dict
    spots: np.ndarray


def frame(programs: Path, folder: Path, label: dict, work: Path) -> Frame:
    file, out = folder / label["file"], work / "frame.npy"
    subprocess.run([programs / "examples/pixels", file, str(label["index"]), out], check=True)
    listed = subprocess.run([programs / "hitgate", "spots", "--list", file], check=True, text=True, stdout=subprocess.PIPE)
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    found = next(line["list"] for line in lines if line["index"] == label["index"])
    spots = np.array([[spot[key] for key in ("x", "y", "counts", "snr", "pixels")] for spot in found])
    about = json.loads(out.with_suffix(".json").read_text())
    return Frame(label, np.load(out), about, spots.reshape(-1, 5))


def labels(truth: Path) -> list[dict]:
    return [{"index": 0, **json.loads(line)} for line in truth.read_text().splitlines() if line.strip()]


def simulated(programs: Path, detector: str, seed: int, work: Path) -> Path:
    """The folder of the one frame of this seed and detector."""
    folder = work / f"{detector}-{seed}"
    if not (folder / "truth.jsonl").exists():
        command = [programs / "hitgate", "simulate", folder, "--replace", "--frames", "1", "--seed", str(seed), "--detector", detector]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


# ---- blocks of background


@dataclass
class Blocks:
    """Squares of pixels that all measure, without spots: their centres, means and, about a plane, residuals."""

    x: np.ndarray
    y: np.ndarray
    means: np.ndarray
    residuals: np.ndarray
    # Block means on their grid, NaN where left out.
    grid: np.ndarray


def blocks(pixels: np.ndarray) -> Blocks:
    rows, columns = (side // BLOCK for side in pixels.shape)
    squares = pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    squares = squares.reshape(-1, BLOCK, BLOCK)
    sums = squares.sum((1, 2), dtype=np.float64)
    # A gap that no mask declares: rows or columns of one value in a block, or on a panel, of many counts.
    flat = (np.ptp(squares, axis=1) == 0).any(1) | (np.ptp(squares, axis=2) == 0).any(1)
    lit = np.maximum(sums, np.median(sums[sums > 0]) if (sums > 0).any() else 0) > 0.5 * BLOCK**2
    used = np.flatnonzero(np.isfinite(sums) & ~(flat & lit))
    kept = squares[used]
    means = kept.mean((1, 2), dtype=np.float64).astype(np.float32)
    tilt = (np.arange(BLOCK) - (BLOCK - 1) / 2).astype(np.float32)
    norm = BLOCK * (tilt**2).sum()
    along = (kept * tilt).sum((1, 2)) / norm
    across = (kept * tilt[:, None]).sum((1, 2)) / norm
    residuals = kept - means[:, None, None] - along[:, None, None] * tilt - across[:, None, None] * tilt[:, None]
    deviation = residuals.std((1, 2))
    # Seven deviations of 256 pixels: an edge of a spot, a hot pixel.
    quiet = (np.abs(residuals).max((1, 2)) <= 7 * deviation) | (kept.max((1, 2)) <= 2)
    grid = np.full(rows * columns, np.nan)
    grid[used[quiet]] = means[quiet]
    y, x = np.divmod(used[quiet], columns)
    centre = (BLOCK - 1) / 2 + 0.5
    return Blocks(
        x * BLOCK + centre, y * BLOCK + centre, means[quiet], residuals[quiet], grid.reshape(rows, columns)
    )


def noise(found: Blocks) -> dict:
    if len(found.means) < 20:
        return {}
    plane = BLOCK**2 / (BLOCK**2 - 3)
    variances = found.residuals.var((1, 2)) * plane
    order = np.argsort(found.means)
    tenth = max(len(order) // 10, 5)
    dark, bright = order[:tenth], order[-tenth:]
    at = [(np.median(found.means[part]), np.median(variances[part])) for part in (dark, bright)]
    stats = {"mean counts, darkest tenth": at[0][0], "mean counts, brightest tenth": at[1][0]}
    for tenth, part in (("darkest", dark), ("brightest", bright)):
        if found.means[part].min() > 1e-2:
            stats[f"variance / mean, {tenth} tenth"] = float(np.median(variances[part] / found.means[part]))
    if at[1][0] > 1.3 * at[0][0] and at[1][0] > 0.3:
        stats["slope of the photon transfer"] = (at[1][1] - at[0][1]) / (at[1][0] - at[0][0])
    some = np.flatnonzero(variances > 0)
    if len(some) == 0:
        return stats
    # A few thousand blocks tell a correlation to 0.001.
    residuals = found.residuals[some[:: max(len(some) // 5000, 1)]]
    total = (residuals**2).sum((1, 2))

    def correlation(dx: int, dy: int) -> float:
        pairs = residuals[:, dy:, dx:] * residuals[:, : BLOCK - dy, : BLOCK - dx]
        share = BLOCK**2 / ((BLOCK - dy) * (BLOCK - dx))
        # The plane takes 3 of 256 degrees of freedom, which makes pairs a little unlike.
        return float(np.median(pairs.sum((1, 2)) / total) * share + 3 / BLOCK**2)

    stats |= {
        "correlation with the next in the row": correlation(1, 0),
        "correlation with the next in the column": correlation(0, 1),
        "correlation with the next diagonally": correlation(1, 1),
        "correlation two pixels off": correlation(2, 0),
        "correlation four pixels off": correlation(4, 0),
    }
    # Blocks alike in mean should be alike in variance: interpolation between pixels makes them differ from place to place.
    alike = [part for part in np.array_split(order, max(len(order) // 50, 1)) if variances[part].min() > 0]
    if alike:
        relative = np.concatenate([np.log(variances[part] / np.median(variances[part])) for part in alike])
        spread = np.diff(np.percentile(relative, (15.87, 84.13)))[0] / 2
        stats["spread of block variances, of what noise makes"] = spread / np.sqrt(2 / (BLOCK**2 - 3))
    stats["skewness of a pixel's noise"] = float(np.median((residuals**3).mean((1, 2)) / residuals.var((1, 2)) ** 1.5))
    # A straight run of three means has a second difference of 6 var / n from the pixels' noise alone.
    bends = found.grid[:, :-2] - 2 * found.grid[:, 1:-1] + found.grid[:, 2:]
    bends = bends[np.isfinite(bends)]
    if len(bends) > 20 and np.median(variances) > 0:
        spread = np.diff(np.percentile(bends, (15.87, 84.13)))[0] / 2
        noise_alone = np.sqrt(6 * np.median(variances) / BLOCK**2)
        stats["roughness of block means, of what noise makes"] = spread / noise_alone
    return stats


def zeros(pixels: np.ndarray, found: Blocks) -> dict:
    used = pixels[np.isfinite(pixels)]
    share = float((used == 0).mean())
    expected = float(np.exp(-np.maximum(found.means, 0)).mean()) if len(found.means) else np.nan
    return {
        "zero pixels, %": 100 * share,
        "zero pixels, of what Poisson makes": share / expected if expected > 0.02 else np.nan,
    }


# ---- against the radius


def resolution(about: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """1/d at places on the panel, 1/ångström; none without geometry."""
    keys = ("wavelength_A", "distance_mm", "beam_center_px", "pixel_mm")
    if any(about.get(key) is None for key in keys):
        return None
    wavelength, distance, (cx, cy), pixel = (about[key] for key in keys)
    two_theta = np.arctan(np.hypot(x - cx, y - cy) * pixel / distance)
    return 2 * np.sin(two_theta / 2) / wavelength


def radial(found: Blocks, about: dict) -> dict:
    q = resolution(about, found.x, found.y)
    if q is None:
        return {}
    near = lambda d: found.means[np.abs(q - 1 / d) < 0.008]
    level = near(4.0)
    if len(level) < 8:
        return {}
    stats = {"mean counts at 4 Å": float(np.median(level))}
    for d in (10.0, 6.0, 3.3, 2.2):
        if len(near(d)) >= 8 and np.median(level) > 0:
            stats[f"mean at {d:g} Å over 4 Å"] = float(np.median(near(d)) / np.median(level))
    within = np.median(found.residuals.var((1, 2)))
    spread = np.percentile(level, (15.87, 84.13))
    excess = max((np.diff(spread)[0] / 2) ** 2 - within / BLOCK**2, 0)
    if np.median(level) > 0:
        stats["spread of the means along the 4 Å ring, %"] = 100 * float(np.sqrt(excess) / np.median(level))
    return stats


# ---- single pixels, sharp events


def events(pixels: np.ndarray, found: Blocks) -> dict:
    """Bright pixels and groups of a few, per million: far above their surroundings."""
    valid = np.isfinite(pixels)
    filled = np.where(valid, pixels, 0).astype(np.float32)
    box = lambda values, side: ndimage.uniform_filter(values, side, mode="constant") * side**2
    number = box(valid.astype(np.float32), 9) - box(valid.astype(np.float32), 3)
    around = (box(filled, 9) - box(filled, 3)) / np.maximum(number, 1)
    fano = np.median(found.residuals.var((1, 2)) / np.maximum(found.means, 0.05)) if len(found.means) else 1
    excess = np.where(valid & (number > 60), filled - around, 0)
    bright = excess > np.maximum(8 * np.sqrt(fano * np.maximum(around, 0.25)), 5)
    groups, count = ndimage.label(bright, np.ones((3, 3)))
    if count == 0:
        return {"single bright pixels a megapixel": 0.0, "sharp groups a megapixel": 0.0}
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(bright, groups, numbers)
    peaks = np.array(ndimage.maximum_position(excess, groups, numbers))
    inside = ((peaks > 0) & (peaks < np.array(pixels.shape) - 1)).all(1)
    y, x = peaks[inside].T
    around_peak = sum(excess[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    share = excess[y, x] / np.maximum(around_peak, 1)
    megapixels = valid.sum() / 1e6
    small = sizes[inside] <= 4
    return {
        "single bright pixels a megapixel": float((small & (share > 0.9)).sum() / megapixels),
        "sharp groups a megapixel": float((small & (share > 0.5) & (share <= 0.9)).sum() / megapixels),
    }


# ---- spots


def stamps(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Squares about bright, isolated, whole spots, less their background; and the rows of `spots` that they are."""
    x, y, _, snr, _ = frame.spots.T
    saturation = frame.about.get("saturation") or np.inf
    side, kept, which = 2 * REACH + 1, [], []
    dy, dx = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    rim = (np.hypot(dx, dy) > 7.5) & (np.hypot(dx, dy) <= REACH)
    for i in np.flatnonzero(snr >= BRIGHT_SNR):
        top, left = int(np.floor(y[i])) - REACH, int(np.floor(x[i])) - REACH
        stamp = frame.pixels[max(top, 0) : top + side, max(left, 0) : left + side]
        others = np.hypot(x - x[i], y - y[i])
        alone = np.partition(others, 1)[1] > APART if len(others) > 1 else True
        if stamp.shape == (side, side) and alone and np.isfinite(stamp).all() and stamp.max() < 0.9 * saturation:
            kept.append(stamp - np.mean(stamp[rim]))
            which.append(i)
    return np.array(kept).reshape(-1, side, side), np.array(which, int)


def moments(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (x, y from the middle) and covariances by moments under a Gaussian weight that follows the spot, which noise far
    from it does not reach; and whether they came to rest."""
    dy, dx = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(float)
    n = len(squares)
    centre, cov = np.zeros((n, 2)), np.tile(np.eye(2) * 1.5, (n, 1, 1))
    for _ in range(60):
        inverse = np.linalg.inv(cov)
        off = np.stack([dx - centre[:, 0, None, None], dy - centre[:, 1, None, None]], -1)
        weight = np.exp(-0.5 * np.einsum("nyxi,nij,nyxj->nyx", off, inverse, off)) * squares
        total = np.maximum(weight.sum((1, 2)), 1e-9)
        centre = np.clip(centre + np.einsum("nyx,nyxi->ni", weight, off) / total[:, None], -3, 3)
        # Of a Gaussian under a weight of its own shape the moments are half as large.
        second = 2 * np.einsum("nyx,nyxi,nyxj->nij", weight, off, off) / total[:, None, None]
        values, vectors = np.linalg.eigh(second)
        values = np.clip(values, 0.08, 12)
        before, cov = cov, np.einsum("nik,nk,njk->nij", vectors, values, vectors)
    steady = (np.abs(cov - before).max((1, 2)) < 0.05) & (values < 11).all(1) & (np.abs(centre) < 2).all(1)
    return centre, cov, steady


def spots(frame: Frame) -> dict:
    _, _, counts, snr, pixels = frame.spots.T
    stats = {"spots found": float(len(counts))}
    if len(counts) < 10:
        return stats
    low, middle, high = np.percentile(counts, (10, 50, 90))
    stats |= {
        "pixels of a spot, median": float(np.median(pixels)),
        "pixels of a spot, 90 %": float(np.percentile(pixels, 90)),
        "signal to noise of a spot, median": float(np.median(snr)),
        "counts of a spot, 90 % over median": high / middle,
        "counts of a spot, median over 10 %": middle / low,
        "spots of two pixels, %": 100 * float((pixels == 2).mean()),
    }
    squares, which = stamps(frame)
    centre, cov, steady = moments(squares) if len(squares) else (None, None, np.zeros(0, bool))
    if steady.sum() < 5:
        return stats
    squares, which, centre, cov = squares[steady], which[steady], centre[steady], cov[steady]
    values, vectors = np.linalg.eigh(cov)
    dy, dx = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(float)
    radius = np.hypot(dx - centre[:, 0, None, None], dy - centre[:, 1, None, None])
    total = (squares * (radius < 7.5)).sum((1, 2))
    off = np.stack([dx - centre[:, 0, None, None], dy - centre[:, 1, None, None]], -1)
    # Half a pixel for the corners of a spot that is hardly wider than one.
    distance = np.einsum("nyxi,nij,nyxj->nyx", off, np.linalg.inv(cov + 0.25 * np.eye(2)), off)
    tail = (squares * (distance > 9) * (radius < 7.5)).sum((1, 2))
    stats |= {
        "full width of a spot across, px": GAUSS * float(np.median(np.sqrt(values[:, 0]))),
        "full width of a spot along, px": GAUSS * float(np.median(np.sqrt(values[:, 1]))),
        "full widths, 90 % over 10 %": float(np.divide(*np.percentile(np.sqrt(values.prod(1)), (90, 10))) ** 0.5),
        "along over across, median": float(np.median(np.sqrt(values[:, 1] / values[:, 0]))),
        "counts of a spot in its brightest pixel, %": 100 * float(np.median(squares.max((1, 2)) / total)),
        "counts of a spot beyond 3 sigma, %": 100 * float(np.median(tail / total)),
    }
    turn = np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1])
    stats["longest in one direction, |mean exp 2iφ|"] = float(np.abs(np.exp(2j * turn).mean()))
    if frame.about.get("beam_center_px"):
        place = frame.spots[which, :2] - np.array(frame.about["beam_center_px"])
        outward = place / np.linalg.norm(place, axis=1, keepdims=True)
        cosine = np.einsum("ni,ni->n", outward, vectors[:, :, 1])
        stats["longest towards the beam, mean cos 2φ"] = float(np.mean(2 * cosine**2 - 1))
    return stats


def statistics(frame: Frame) -> dict:
    found = blocks(frame.pixels)
    crystal = frame.label["class"] in ("hit", "few")
    return (
        noise(found)
        | zeros(frame.pixels, found)
        | radial(found, frame.about)
        # A sharp Bragg spot would be taken for a particle.
        | ({} if crystal else events(frame.pixels, found))
        | spots(frame)
    )


# ---- the table


def number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def table(real: list[dict], fake: list[dict], verdicts: dict) -> list[str]:
    lines = ["| | real | simulated: median (5..95 %) | outside |", "|---|---|---|---|"]
    for name in dict.fromkeys(name for stats in real for name in stats):
        seen, made = ([s[name] for s in group if np.isfinite(s.get(name, np.nan))] for group in (real, fake))
        if not seen or len(made) < 3:
            continue
        low, middle, high = np.percentile(made, (5, 50, 95))
        below, above = sum(v < low for v in seen), sum(v > high for v in seen)
        verdicts[name] += np.array([below, len(seen) - below - above, above])
        shown = ", ".join(number(v) for v in seen) if len(seen) <= 4 else f"{number(min(seen))} … {number(max(seen))}"
        marks = [f"{n} of {len(seen)} {side}" for n, side in ((below, "below"), (above, "above")) if n]
        lines.append(f"| {name} | {shown} | {number(middle)} ({number(low)}..{number(high)}) | {', '.join(marks)} |")
    return lines


def overview(verdicts: dict) -> list[str]:
    return [
        "### All detectors: real frames below, within and above 5..95 % of the simulated",
        "",
        "| | below | within | above |",
        "|---|---|---|---|",
        *(f"| {name} | {low} | {inside} | {high} |" for name, (low, inside, high) in verdicts.items()),
    ]


def picture(path: Path, rows: list[tuple[str, Frame, list[Frame]]]):
    """Real frame and detail, then simulated ones, in a row a set: counts above the median in units of the local noise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def grey(pixels):
        finite = pixels[np.isfinite(pixels)]
        low, middle, high = np.percentile(finite, (16, 50, 84))
        return np.arcsinh((pixels - middle) / max((high - low) / 2, 0.5))

    def detail(frame, side=96):
        height, width = frame.pixels.shape
        bright = frame.spots[np.argsort(frame.spots[:, 3])][len(frame.spots) // 2] if len(frame.spots) else (width / 2, height / 2)
        left, top = (int(np.clip(at - side / 2, 0, max(size - side, 0))) for at, size in zip(bright, (width, height)))
        return slice(top, top + side), slice(left, left + side)

    figure, axes = pyplot.subplots(len(rows), 6, figsize=(18, 3 * len(rows)), squeeze=False)
    for line, (name, real, fakes) in zip(axes, rows):
        for axis in line:
            axis.set_axis_off()
        for i, one in enumerate([real, *fakes[:2]]):
            levels = grey(one.pixels)
            step = max(one.pixels.shape[0] // 500, 1)
            whole = levels[: levels.shape[0] // step * step, : levels.shape[1] // step * step]
            whole = whole.reshape(whole.shape[0] // step, step, -1, step).max((1, 3))
            for axis, image in ((line[2 * i], whole), (line[2 * i + 1], levels[detail(one)])):
                axis.imshow(image, cmap="gray_r", vmin=-1, vmax=4, interpolation="nearest")
            line[2 * i].set_title(f"{name} {'real' if i == 0 else 'simulated'}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("truth", type=Path, help="labels of real frames")
    add("--seeds", type=int, default=12, help="simulated frames a detector (%(default)s)")
    add("--first", type=int, default=1, help="the first seed (%(default)s)")
    add("--sets", nargs="*", help="these sets only")
    add("--as", dest="alias", action="append", default=[], metavar="SET=DETECTOR")
    add("--programs", type=Path, default=Path("target/release"), help="folder of the built programs (%(default)s)")
    add("--work", type=Path, default=Path("realism"), help="folder of simulated frames (%(default)s)")
    add("--table", type=Path, help="write the table here, else to the terminal")
    add("--pictures", type=Path, metavar="PNG")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    alias = dict(pair.split("=", 1) for pair in args.alias)

    by_set = defaultdict(list)
    for label in {(one["file"], one["index"]): one for one in labels(args.truth)}.values():
        by_set[label.get("set", "")].append(label)
    verdicts, lines, rows = defaultdict(lambda: np.zeros(3, int)), [], []
    say = args.table.write_text if args.table else print
    before = args.table.read_text().split("## Table")[0] if args.table and args.table.exists() else ""
    names = args.sets or list(by_set)
    for name in names:
        real, first_real = defaultdict(list), {}
        for label in by_set[name]:
            try:
                one = frame(args.programs, args.truth.parent, label, args.work)
            except subprocess.CalledProcessError:
                print(f"{label['file']}: left out", file=sys.stderr)
                continue
            kind = "with a crystal" if label["class"] in ("hit", "few") else "without"
            real[kind].append(statistics(one))
            first_real.setdefault(kind, one)
        fake, shown = defaultdict(list), defaultdict(list)
        for seed in range(args.first, args.first + args.seeds):
            folder = simulated(args.programs, alias.get(name, name), seed, args.work)
            [label] = labels(folder / "truth.jsonl")
            kind = "with a crystal" if label["class"] == "hit" else "without"
            if kind in real:
                one = frame(args.programs, folder, label, args.work)
                fake[kind].append(statistics(one))
                if args.pictures and len(shown[kind]) < 2:
                    shown[kind].append(one)
        for kind in real:
            print(f"{name}, {kind}: {len(real[kind])} real, {len(fake[kind])} simulated", file=sys.stderr)
            lines += [f"### {name}, {kind}: {len(real[kind])} real, {len(fake[kind])} simulated", ""]
            lines += [*table(real[kind], fake[kind], verdicts), ""]
            rows.append((f"{name}, {kind}", first_real[kind], shown[kind]))
        if args.table or name == names[-1]:
            say(before + "\n".join(["## Table", "", *overview(verdicts), "", *lines]).rstrip() + "\n")
    if args.pictures:
        picture(args.pictures, rows)


if __name__ == "__main__":
    main()
