"""The table and the record of bench/gpu.sh: what the program measured, beside what the GPU cannot beat and what PyTorch does.

Usage: gpu.py FOLDER HITGATE SECONDS [RECORD]: FOLDER has what the script collected, SECONDS are left.

The record is written before PyTorch is asked and again after, and PyTorch works in processes of its own, which may crash or hang.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

# Strides and channels out of MobileNet-V1's blocks at width 1 (Howard et al. 2017), behind a stem of 32.
STEM = 32
BLOCKS = [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024)]
# What a network by itself is known by; channels are its input's.
NAMES = ("width", "batch", "input", "channels")
# Has a process of this program measure with PyTorch.
MEASURE = "--measure"


def channels(width, full):
    """As the model file has them: a multiple of 8, halves up."""
    return max(8, 8 * int(width * full / 8 + 0.5))


def median_s(torch, run, rounds=30, warm=5):
    """The median of how long `run` takes, in seconds, by the GPU's clock as the program's own times are."""
    times = []
    for i in range(warm + rounds):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        began.record()
        run()
        ended.record()
        torch.cuda.synchronize()
        if i >= warm:
            times.append(began.elapsed_time(ended) / 1e3)
    return statistics.median(times)


def floors(torch):
    """Bytes a second of copies from pinned memory, and int8 multiply-adds a second of a large product."""
    host = torch.empty(256 << 20, dtype=torch.uint8, pin_memory=True)
    device = torch.empty_like(host, device="cuda")
    copy_s = median_s(torch, lambda: device.copy_(host, non_blocking=True), 10)
    n = 8192
    a = torch.ones(n, n, dtype=torch.int8, device="cuda")
    # Both operands along their rows, as the product likes it best.
    b = torch.ones(n, n, dtype=torch.int8, device="cuda").t()
    product_s = median_s(torch, lambda: torch._int_mm(a, b), 10)
    return {"bytes_per_s": host.numel() / copy_s, "macs_per_s": n**3 / product_s}


def network(torch, width, inputs):
    """MobileNet-V1 without its norms, which a deployed one has folded into its weights."""
    from torch import nn

    def convolution(a, b, *shape, **more):
        return [nn.Conv2d(a, b, *shape, **more), nn.ReLU6()]

    before = channels(width, STEM)
    layers = convolution(inputs, before, 3, 2, 1)
    for stride, full in BLOCKS:
        after = channels(width, full)
        layers += convolution(before, before, 3, stride, 1, groups=before) + convolution(before, after, 1)
        before = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 3)]
    return nn.Sequential(*layers).eval().cuda().half().to(memory_format=torch.channels_last)


def measure():
    """In a process of its own: takes a list of what to measure from standard input, and tells of each as soon as it is done."""

    def tell(**found):
        print(json.dumps(found), flush=True)

    try:
        import torch
    except ImportError:
        return tell(pytorch="not there")
    if not torch.cuda.is_available():
        return tell(pytorch=f"{torch.__version__}, which finds no GPU")
    tell(pytorch=torch.__version__)
    for what in json.load(sys.stdin):
        key = what["key"]
        try:
            with torch.inference_mode():
                if key == "floors":
                    found = floors(torch)
                else:
                    net = network(torch, what["width"], what["channels"])
                    shape = what["batch"], what["channels"], what["input"], what["input"]
                    maps = torch.rand(*shape, device="cuda").half().to(memory_format=torch.channels_last)
                    run = torch.compile(net, mode="reduce-overhead") if key == "compiled_us" else net
                    found = 1e6 * median_s(torch, lambda: run(maps))
        except Exception as error:
            found = f"failed: {type(error).__name__}"
        tell(**what, found=found)


def of_torch(whats, seconds):
    """What such a process tells within so many seconds, and how it ended where that was not well."""
    # A compiler's own processes would keep a pipe open, and go with their session.
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as told:
        json.dump(whats, asked)
        asked.seek(0)
        command = [sys.executable, __file__, MEASURE]
        child = subprocess.Popen(command, stdin=asked, stdout=told, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            status = child.wait(timeout=max(0, seconds))
            end = f"ended with status {status}" if status else None
        except subprocess.TimeoutExpired:
            end = "out of time"
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        told.seek(0)
        # The last line may be half written, and a library may say something too.
        found = []
        for line in told:
            if line.startswith("{") and line.endswith("}\n"):
                found.append(json.loads(line))
        return found, end


def pytorch(asked, until):
    """What PyTorch is; its rates; and microseconds of a batch in fp16, as it is and compiled, for each of `asked`. All as it is first, then
    what is compiled, the widest first; a text stands for what is left out or failed."""
    whats = [{"key": "floors"}] + [of | {"key": "fp16_us"} for of in asked]
    told, end = of_torch(whats, until - time.monotonic())
    is_torch = told.pop(0)["pytorch"] if told else "not known"
    if end:
        is_torch += f" ({end})"
    rates, times = None, {}
    for found in told:
        if found["key"] == "floors":
            rates = found["found"] if isinstance(found["found"], dict) else None
        else:
            times[name(found)] = found["found"]
    references = [of | {"fp16_us": times.get(name(of), end), "compiled_us": None} for of in asked]
    if not times:
        return is_torch, rates, []
    for of in sorted(references, key=lambda of: (of["width"], of["batch"]), reverse=True):
        # A compilation may take a minute, and some hang.
        seconds = min(90, until - time.monotonic())
        if seconds < 20:
            of["compiled_us"] = "no time"
            continue
        told, end = of_torch([{key: of[key] for key in NAMES} | {"key": "compiled_us"}], seconds)
        of["compiled_us"] = next((found["found"] for found in told if "found" in found), end)
    return is_torch, rates, references


def name(row):
    """What is compared with each other has these in common."""
    return tuple(row[key] for key in NAMES)


def smi(query):
    """What nvidia-smi says of the first GPU, or None."""
    # The program takes the first that it is shown; by their order on the bus, which the script asks for.
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    command = ["nvidia-smi", f"--id={first}", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return [word.strip() for word in said.stdout.strip().split(",")]


def watts(hitgate, widths, batch, until):
    """While the network runs on and on: the median of what nvidia-smi tells, by width."""
    found = {}
    for width in widths:
        if smi("power.draw") is None or time.monotonic() > until - 15:
            return found
        words = ["--backend=cuda", "--detector=cspad-2x1", "--stage=net", f"--width={width}", f"--batch={batch}"]
        run = subprocess.Popen([hitgate, "bench", *words, "--frames=10000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # It begins with its frames, on the CPU.
            time.sleep(4)
            drawn = []
            for _ in range(10):
                drawn.append(float(smi("power.draw")[0]))
                time.sleep(0.2)
            if run.poll() is None:
                found[width] = statistics.median(drawn)
        except (TypeError, ValueError):
            return found
        finally:
            run.kill()
            run.wait()
    return found


def floor_us(row, rates, seen):
    """What a batch cannot beat: the bytes of its windows over the bus, and its multiply-adds, which may run beside each other."""
    mpx = 0 if row["alone"] else seen.get((row["detector"], row["window"]))
    if not rates or mpx is None:
        return None
    macs = row["batch"] * row["multiply_adds"] / rates["macs_per_s"]
    return 1e6 * row["cores"] * max(macs, row["batch"] * 2e6 * mpx / rates["bytes_per_s"])


def took_us(row):
    """A batch of each of its paths: the median, or by the clock where they are several."""
    return 1e6 * row["cores"] * row["batch"] / row["frames_per_s"]


def table(rows, rates, references, drawn, seen):
    """Lines for people; a dash is what was not measured. `seen` has the megapixels of a detector's window."""

    def number(value, digits=1):
        return f"{value:,.{digits}f}" if isinstance(value, (int, float)) else value or "–"

    by = {name(of): of for of in references}
    heads = ["what", "width", "batch", "p50/µs", "frames/s", "GB/s", "floor/µs", "time/floor", "fp16/µs", "compiled/µs", "W"]
    lines = [heads]
    for row in rows:
        net = row["alone"]
        of = by.get(name(row), {}) if net else {}
        floor = floor_us(row, rates, seen)
        bus = None if net else row["frames_per_s"] * row["columns"] * row["rows"] * 2 / 1e9
        what = "prepared maps" if net else f"{row['detector']} {row['window']}"
        if row["cores"] > 1:
            what = f"{row['cores']} paths of {what}"
        lines.append([
            f"{what}, {row['model']}",
            number(row["width"], 2), str(row["batch"]), number(row["p50_us"]), number(row["frames_per_s"], 0),
            number(bus) + ("*" if row["registered"] is False else ""),
            number(floor), number(floor and took_us(row) / floor, 2), number(of.get("fp16_us")), number(of.get("compiled_us")),
            number(drawn.get(row["width"]) if net and row["batch"] == max(r["batch"] for r in rows) else None, 0),
        ])
    wide = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join("  ".join([line[0].ljust(wide[0])] + [word.rjust(w) for word, w in zip(line[1:], wide[1:])]) for line in lines)


def main(folder, hitgate, seconds, record=None):
    until = time.monotonic() + float(seconds)
    lines = [json.loads(line) for line in Path(folder, "lines").read_text().splitlines()]
    # Each only once: a run of the path times the network by itself too.
    named = {}
    for line in lines:
        if line["stage"] == "batch" or line["alone"]:
            place = None if line["alone"] else (line["detector"], line["window"])
            named.setdefault((place, line["model"], line["width"], line["batch"], line["cores"]), line)
    seen = {(line["detector"], line["window"]): line["mpx"] for line in lines if line["stage"] == "prep"}
    rows = list(named.values())
    rows.sort(key=lambda row: (not row["alone"], row["width"] if row["alone"] else row["columns"] * row["rows"], row["batch"], row["cores"]))
    nets = [row for row in rows if row["alone"]]
    widths = sorted({row["width"] for row in nets})
    most = max((row["batch"] for row in nets), default=0)
    asked = [dict(zip(NAMES, of)) for of in sorted({name(row) for row in nets if row["batch"] in (1, most)})]
    drawn = watts(hitgate, widths, most, until)
    known = dict(zip(["driver", "capability", "watts_limit", "pcie_generation", "pcie_lanes"],
                     smi("driver_version,compute_cap,power.limit,pcie.link.gen.max,pcie.link.width.current") or []))
    head = {key: rows[0][key] for key in ("gpu", "machine", "os", "version", "commit")} | known
    head |= {"date": date.today().isoformat(), "pytorch": "not asked yet"}
    said = {key: Path(folder, key).read_text().splitlines() for key in ("checks", "sanitizer")}
    folder_name = re.sub(r"[^a-z0-9]+", "-", head["gpu"].lower()).strip("-")
    record = Path(record or f"bench/record/{folder_name}/{date.today()}.json")
    record.parent.mkdir(parents=True, exist_ok=True)

    def write(rates, references):
        whole = head | said | {"floors": rates, "pytorch_times": references, "watts": drawn, "rows": lines}
        record.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")

    write(None, [])
    head["pytorch"], rates, references = pytorch(asked, until)
    write(rates, references)

    print("\n".join(f"{key:<16} {value}" for key, value in head.items()))
    if rates:
        print(f"from memory      {rates['bytes_per_s'] / 1e9:.1f} GB/s over the bus, pinned")
        print(f"int8             {rates['macs_per_s'] / 1e12:.1f} T multiply-adds/s in a product of 8192")
    else:
        print(f"floors           not measured: PyTorch is {head['pytorch']}")
    if not drawn:
        print("watts            not told here")
    print()
    print(table(rows, rates, references, drawn, seen))
    print("\nOf a batch, from the ring to its records; of prepared maps by the GPU's clock. The floor is what is larger: the bytes of the\n"
          "window over the bus, or the network's multiply-adds, at the rates above; GB/s are those of whole frames, of which a crop sends less.")
    if any(row["registered"] is False for row in rows):
        print("* The ring could not be registered: each frame was copied once more on its way, and the bus is not what was timed.")
    print(f"\n{record}")


if __name__ == "__main__":
    if sys.argv[1:] == [MEASURE]:
        measure()
    elif len(sys.argv) in (4, 5):
        main(*sys.argv[1:])
    else:
        sys.exit(__doc__)
