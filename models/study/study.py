"""The paper's comparison, anew: data, training, tables and figures by one command."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "train"))

import train  # noqa: E402
from maps import Maps, Mixture, open_maps  # noqa: E402
from network import MobileNetV1  # noqa: E402

import rates  # noqa: E402
import report  # noqa: E402
from embed import neighbours, principal, standard  # noqa: E402
from networks import NETWORKS, depth_of, head, size_of  # noqa: E402
from samples import Copies, Part, shared, split  # noqa: E402

SEED = 76
# What hitgate's own network sees, two channels; and what is nearest to the paper, one.
REDUCE = "peaks"
PAPER_REDUCE = "max"
# In what order networks are trained, cheap ones first: what an early end costs is one dear network.
CHEAP_FIRST = ("mobilenet-v1", "alexnet", "inception-v1", "ke2018", "resnet101", "inception-v3", "vgg16")
# Where the frames of each kind begin: one seed is one run of a detector, so geometry and mask stay the same.
FIRST = {"train": 0, "val": 1_000_000, "test": 2_000_000, "frames": 3_000_000, "fresh": 4_000_000}


@dataclass(frozen=True)
class Mode:
    """How much of everything."""

    # Detectors of the simulator, each with one geometry: they stand for the paper's four sets.
    sets: tuple[str, ...]
    # Maps of each set.
    maps: dict
    batch: int
    # Length of a training, in steps or in minutes a network.
    steps: int | None
    minutes: float | None
    # The paper's own settings: which networks, on which sets, and MobileNet's width there.
    paper_networks: tuple[str, ...]
    paper_sets: tuple[str, ...]
    paper_steps: int | None
    paper_minutes: float | None
    paper_width: float
    effort: rates.Effort
    # Whether weights are kept: checkpoints to go on from, and ONNX files for tract and for the rates on the CPU.
    weights: bool = True


SMALL_SETS = ("ccd1024", "jungfrau-module", "eiger500k", "cspad-2x1")
MODES = {
    "toy": Mode(
        SMALL_SETS[1::2], {"train": 24, "val": 8, "test": 10, "frames": 40, "fresh": 10}, 4, 2, None,
        ("mobilenet-v1",), SMALL_SETS[3:], 12, None, 0.25, rates.Effort(1, 0.0),
    ),
    "small": Mode(
        SMALL_SETS, {"train": 250, "val": 40, "test": 75, "frames": 100, "fresh": 100}, 16, None, 4.0,
        ("mobilenet-v1",), SMALL_SETS[3:], None, 4.0, 0.25, rates.Effort(3, 2.0),
    ),
    "short": Mode(
        SMALL_SETS, {"train": 2000, "val": 150, "test": 300, "frames": 400, "fresh": 400}, 64, 300, None,
        ("mobilenet-v1",), SMALL_SETS[3:], 500, None, 1.0, rates.Effort(10, 0.25), weights=False,
    ),
    "full": Mode(
        ("mx340-hs", "mx225-hs", "eiger4m", "cspad-2x1"),
        {"train": 5000, "val": 1000, "test": 2000, "frames": 2000, "fresh": 2000}, 64, 25_000, None,
        tuple(NETWORKS), ("mx340-hs", "mx225-hs", "eiger4m", "cspad-2x1"), 100_000, None, 1.0, rates.Effort(10, 5.0),
    ),
}  # fmt: skip


def arguments() -> argparse.Namespace:
    parse = argparse.ArgumentParser(description=__doc__)
    add = parse.add_argument
    add(
        "mode",
        choices=MODES,
        help="toy: minutes, proves that it runs; small: an hour of one CPU core; short: two minutes of a GPU, keeps no weights; "
        "full: hours of a GPU",
    )
    add("--paper", action="store_true", help="the paper's settings alone, without hitgate's recipe")
    add("--networks", nargs="+", choices=NETWORKS, default=CHEAP_FIRST, help="only these, in this order")
    add(
        "--maps-of", nargs="+", default=[], metavar="SET=FILE.npy",
        help="judge hitgate's recipe on these labelled maps too, as `hitgate dataset --truth` writes them: a column of table 4 "
        "each; a set may be given again with the maps for another network's input (--input)",
    )  # fmt: skip
    add("--hitgate", default="target/release/hitgate", metavar="FILE", help="the program")
    add("--work", type=Path, default=Path("runs/study"), metavar="DIR", help="maps, checkpoints, ONNX files")
    add("--results", type=Path, default=HERE / "results", metavar="DIR", help="where study.md and its figures go")
    add("--threads", type=int, default=1, help="CPU threads of training")
    add("--readers", type=int, default=1, help="threads that read and turn maps")
    add("--simulate", action="store_true", help="only simulate the maps that are not there yet")
    add("--seconds", type=float, default=float("inf"), metavar="S", help="begin no other network, or file of maps, after so many")
    add("--report", action="store_true", help="only write study.md and the figures anew, from what was measured")
    return parse.parse_args()


def machine() -> str:
    """The CPU and GPU that figures of time belong to."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{names[0]} ({platform.machine()})" if names else cpu
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{cpu}, {os.cpu_count()} cores{gpu}; PyTorch {torch.__version__}"


class Unkept(train.Run):
    """A run that leaves its history behind, and no weights."""

    def keep(self, temperature: float, bias: torch.Tensor):
        pass


class Study:
    def __init__(self, args: argparse.Namespace):
        self.args, self.mode, self.seed, self.began = args, MODES[args.mode], SEED, time.monotonic()
        if args.maps_of and not self.mode.weights:
            raise SystemExit(f"--maps-of: mode {args.mode} keeps no weights to judge them by")
        self.work, self.results = args.work / args.mode, args.results / args.mode
        self.further = [further_maps(word, self.mode) for word in args.maps_of]
        for folder in (self.work / "maps", self.results / "runs"):
            folder.mkdir(parents=True, exist_ok=True)

    # Data ---------------------------------------------------------------------------------------------------------

    def dataset(self, kind: str, name: str, side: int, reduce: str) -> Path:
        """Maps of one set, simulated where they are not there yet; the file gets its name when it is whole."""
        out = self.work / "maps" / f"{name}-{reduce}-{side}-{kind}.npy"
        if not out.exists():
            part = out.with_suffix("").as_posix() + "-part"
            mix = "training" if kind == "train" else "natural"
            self.hitgate(
                "dataset", part, "--replace", "--maps", self.mode.maps[kind], "--first", FIRST[kind], "--seed", SEED,
                "--mix", mix, "--detector", name, "--input", side, "--reduce", reduce,
            )  # fmt: skip
            os.replace(part + ".jsonl", out.with_suffix(".jsonl"))
            os.replace(part + ".npy", out)
        return out

    def maps(self, kind: str, side: int, reduce: str, sets: tuple[str, ...]) -> Maps:
        paths = [self.dataset(kind, name, side, reduce) for name in sets]
        return open_maps([str(path) for path in paths], side)

    def joined_test(self, side: int, reduce: str) -> Path:
        """The test maps of all sets in one file, for `hitgate eval --maps`; in the order in which `maps` has them, by name."""
        out = self.work / "maps" / f"all-{reduce}-{side}-test.npy"
        parts = sorted(self.dataset("test", name, side, reduce) for name in self.mode.sets)
        if not out.exists():
            lines = [json.loads(line) for part in parts for line in part.with_suffix(".jsonl").read_text().splitlines()]
            numbered = [json.dumps(line | {"index": index}) + "\n" for index, line in enumerate(lines)]
            out.with_suffix(".jsonl").write_text("".join(numbered))
            train.replace(out, lambda new: save_npy(new, np.concatenate([np.load(part) for part in parts])))
        return out

    def hitgate(self, *words) -> str:
        command = [self.args.hitgate, *map(str, words)]
        one_thread = os.environ | {"RAYON_NUM_THREADS": str(self.args.threads)}
        done = subprocess.run(command, env=one_thread, text=True, stdout=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed")
        return done.stdout

    def in_tract(self, onnx: Path, maps: Path) -> tuple[dict, float]:
        """What `hitgate eval` says of a network on maps, and the seconds of CPU time that it took."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = json.loads(self.hitgate("eval", "--engine", "tract", "--model", onnx, "--maps", maps, "--json"))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return said, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Training -----------------------------------------------------------------------------------------------------

    def trained(self, run: str, model: torch.nn.Module, side: int, mixture: Mixture, val, *settings) -> train.Run:
        """Trains, or goes on; a signal ends the whole study with a checkpoint."""
        words = ["--data", "-", "--val", "-", "--out", self.work / run, "--resume", "--input", side, "--seed", SEED]
        # Whole maps and classes alone: squares and places are what only hitgate's own network is made for.
        words += ["--threads", self.args.threads, "--readers", self.args.readers, "--count", 0, "--parts", 0, *settings]
        args = train.parser().parse_args(list(map(str, words)))
        # A report and a checkpoint every thousand steps, and at the end.
        args.report_every = 1000 * args.batch
        going = (train.Run if self.mode.weights else Unkept)(args, mixture, val, model)
        print(f"== {run}", flush=True)
        if going.clock.progress(going.step) < 1:
            going.go()
        if going.clock.progress(going.step) < 1:
            raise SystemExit("stopped: run it again to go on")
        return going

    def length(self, steps: int | None, minutes: float | None, batch: int, maps) -> list:
        return ["--minutes", minutes] if minutes else ["--epochs", steps * batch / len(maps)]

    def hitgates_recipe(self, run: str, name: str):
        """One network by the recipe of models/train, on all sets together."""
        entry, mode = NETWORKS[name], self.mode
        torch.manual_seed(SEED)
        training = self.maps("train", entry.side, REDUCE, mode.sets)
        val = self.maps("val", entry.side, REDUCE, mode.sets)
        rate = 2e-3 if entry.normed else 2e-4
        mixture = Mixture(training, mode.batch, [0.35, 0.3, 0.35], SEED)
        going = self.trained(
            run, entry.make(training.channels), entry.side, mixture, val,
            "--batch", mode.batch, "--rate", rate, *self.length(mode.steps, mode.minutes, mode.batch, training),
        )  # fmt: skip
        test = self.maps("test", entry.side, REDUCE, mode.sets)
        logits, features = judged(going, test)
        features = standard(features)
        network = going.average.model.cpu()
        shape = (network, test.channels, entry.side)
        found = {
            "recipe": "hitgate",
            "network": name,
            "sets": list(mode.sets),
            "knn": {"features": neighbours(features, test.classes)},
            "size": size_of(*shape) | {"depth": depth_of(*shape)},
            "seconds": {},
            "load": os.getloadavg()[0],
        }
        if mode.weights:
            found |= self.as_onnx(self.work / run / "model.onnx", test, entry.side)
        if torch.cuda.is_available():
            found["seconds"]["GPU"] = rates.on_gpu(*shape, mode.effort)
        of_set = np.array([mode.sets.index(name) for name in test.sets])
        components = principal(features, SEED)
        self.keep(run, going, found, logits=logits, classes=test.classes, sets=of_set, features=components)

    def as_onnx(self, onnx: Path, test: Maps, side: int) -> dict:
        """What tract makes of an exported network, and its rates on the CPU."""
        joined = self.joined_test(side, REDUCE)
        # Reading the network takes time too: that of one map is taken off.
        (tract, of_all), (_, of_one) = self.in_tract(onnx, joined), self.in_tract(onnx, first_of(joined))
        seconds = rates.on_cpu(onnx, test.channels, side, self.mode.effort)
        return {
            "tract": {key: tract["sets"][0][key] for key in ("confusion", "auc")},
            "seconds": seconds | {"tract": {"1": (of_all - of_one) / (len(test) - 1)}},
        }

    def papers_recipe(self, run: str, name: str, on: str, after: bool):
        """One network by the paper's settings, on one set: largest counts, equalized; 21 copies of a frame; 7:2:1."""
        entry, mode = NETWORKS[name], self.mode
        torch.manual_seed(SEED)
        copies = Copies(self.maps("frames", entry.side, PAPER_REDUCE, (on,)), SEED)
        training, val, test = split(copies, after, SEED)
        # Validation in the course of it need not see every copy.
        val = Part(val, np.arange(0, len(val), max(1, len(val) // 500)))
        width = mode.paper_width
        model = MobileNetV1(width, copies.channels) if name == "mobilenet-v1" else entry.make(copies.channels)
        # Equal shares over-sample maybes and under-sample misses. Copies are turned already.
        mixture = Mixture(training, 16, [1, 1, 1], SEED, turns=1)
        # Run scales the rate by the root of batch / 64.
        rate = 0.001 * (64 / 16) ** 0.5
        going = self.trained(
            run, model, entry.side, mixture, val,
            "--batch", 16, "--rate", rate, "--ordinal", 0, "--smooth", 0, "--decay", 0, "--average", 0,
            *self.length(mode.paper_steps, mode.paper_minutes, 16, training),
        )  # fmt: skip
        fresh = self.maps("fresh", entry.side, PAPER_REDUCE, (on,))
        (own, _), (new, _) = judged(going, test), judged(going, fresh)
        found = {
            "recipe": "paper",
            "network": name,
            "split": "after" if after else "before",
            "set": on,
            "width": width if name == "mobilenet-v1" else None,
            "frames": len(copies.maps),
            "samples": len(copies),
            "shared": shared(test, training),
        }
        self.keep(run, going, found, logits=own, classes=test.classes, fresh_logits=new, fresh_classes=fresh.classes)

    # Results ------------------------------------------------------------------------------------------------------

    def judge_further(self):
        """What the finished networks of hitgate's recipe make of the maps of --maps-of, where these fit their input."""
        for path in sorted((self.results / "runs").glob("*.json")):
            kept, onnx = json.loads(path.read_text()), self.work / path.stem / "model.onnx"
            fitting = [(name, maps) for name, side, maps in self.further if side == NETWORKS[kept["network"]].side]
            if kept["recipe"] != "hitgate" or not onnx.exists():
                continue
            for name, maps in fitting:
                said = self.in_tract(onnx, maps)[0]["sets"][0]
                kept.setdefault("further", {})[name] = {key: said[key] for key in ("confusion", "auc")}
            train.replace(path, lambda new: new.write_text(json.dumps(kept, indent=1) + "\n"))

    def is_done(self, run: str) -> bool:
        return (self.results / "runs" / f"{run}.json").exists()

    def keep(self, run: str, going: train.Run, found: dict, **arrays):
        """Logits and metrics of a run; its weights stay in the work folder."""
        last = json.loads(going.history.read_text().splitlines()[-1])
        kept = {
            "run": run,
            "mode": self.args.mode,
            "machine": machine(),
            "steps": last["step"],
            "maps_seen": last["maps_seen"],
            "minutes": last["minutes"],
            "parameters_trained": sum(p.numel() for p in going.model.parameters()),
            "training_maps": len(going.train),
            **found,
        }
        path = self.results / "runs" / run
        np.savez_compressed(path.with_suffix(".npz"), **{name: small(array) for name, array in arrays.items()})
        train.replace(path.with_suffix(".json"), lambda new: new.write_text(json.dumps(kept, indent=1) + "\n"))

    # What is done, one after another --------------------------------------------------------------------------------

    def recipes(self) -> tuple[list, list]:
        """Networks by hitgate's recipe; networks, sets and splits (after augmentation or before) by the paper's."""
        mode, networks = self.mode, self.args.networks
        papers = [
            (name, on, after)
            for name in mode.paper_networks
            for on in mode.paper_sets
            for after in (True, False)
            if name in networks and (after or name == "mobilenet-v1")
        ]
        return [] if self.args.paper else list(networks), papers

    def simulations(self) -> dict:
        """What is to be simulated, by what it is."""
        ours, papers = self.recipes()
        wanted = [
            (kind, on, NETWORKS[name].side, REDUCE)
            for name in ours
            for kind in ("train", "val", "test")
            for on in self.mode.sets
        ]
        wanted += [(kind, on, NETWORKS[name].side, PAPER_REDUCE) for name, on, _ in papers for kind in ("frames", "fresh")]
        return {f"{on}-{reduce}-{side}-{kind}": partial(self.dataset, kind, on, side, reduce) for kind, on, side, reduce in wanted}

    def trainings(self) -> dict:
        """What is to be trained, by the name of the run."""
        ours, papers = self.recipes()
        runs = {f"hitgate-{name}": (self.hitgates_recipe, name) for name in ours}
        for name, on, after in papers:
            runs[f"paper-{'after' if after else 'before'}-{name}-{on}"] = (self.papers_recipe, name, on, after)
        return {run: partial(recipe, run, *of) for run, (recipe, *of) in runs.items() if not self.is_done(run)}

    def do(self, jobs: dict) -> list[str]:
        """Does one after another until --seconds are over; those that failed, which keep no other from being done."""
        failed = []
        for name, job in jobs.items():
            if time.monotonic() - self.began > self.args.seconds:
                print(f"{self.args.seconds:g} seconds are over before {name}: run it again to go on", flush=True)
                break
            try:
                job()
            except Exception:
                traceback.print_exc()
                failed.append(name)
        return failed

    def go(self):
        failed = []
        if not self.args.report:
            failed = self.do(self.simulations() if self.args.simulate else self.trainings())
        if self.further:
            self.judge_further()
        # Where no weights are kept, the machine that trains is not the one that has time for pictures.
        if self.args.report or (self.mode.weights and not self.args.simulate):
            report.write(self.results, self.args.mode, self.mode, self)
        if failed:
            raise SystemExit(f"{', '.join(failed)} failed, as told above: run it again to try anew")


def further_maps(word: str, mode: Mode) -> tuple[str, int, Path]:
    """Name, side and file of a SET=FILE.npy; said to be wrong before the hour of training, not after it."""
    name, _, file = word.partition("=")
    if not name or not file or name in mode.sets:
        raise SystemExit(f"--maps-of {word}: SET=FILE.npy wanted, with a set that is none of {', '.join(mode.sets)}")
    try:
        maps = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SystemExit(f"--maps-of {word}: {error}") from error
    if maps.dtype != np.uint8 or maps.ndim != 3 or maps.shape[2] != 2 * maps.shape[1]:
        raise SystemExit(f"--maps-of {word}: {maps.dtype} {maps.shape} found, maps of two channels (`peaks`) wanted")
    return name, maps.shape[1], Path(file)


def first_of(maps: Path) -> Path:
    """The first map of a file, in a file of its own."""
    out = maps.with_name(f"first-{maps.name}")
    out.with_suffix(".jsonl").write_text(maps.with_suffix(".jsonl").read_text().splitlines(keepends=True)[0])
    train.replace(out, lambda new: save_npy(new, np.load(maps, mmap_mode="r")[:1]))
    return out


def save_npy(path: Path, array: np.ndarray):
    with open(path, "wb") as file:
        np.save(file, array)


def small(array: np.ndarray) -> np.ndarray:
    """The same numbers in fewer bytes."""
    return array.astype(np.uint8 if array.dtype.kind in "iu" else min(array.dtype, np.dtype(np.float32)))


@torch.no_grad()
def judged(going: train.Run, maps, batch: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, 3] and features [n, d] of all maps, by the weights that are exported."""
    model, features = going.average.model.eval(), []
    hook = head(model).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float().cpu().numpy()))
    parts = np.array_split(np.arange(len(maps)), -(-len(maps) // batch))
    logits = [model(train.as_input(maps.read(part), going.device)).float().cpu().numpy() for part in parts]
    hook.remove()
    return np.concatenate(logits) + going.bias(), np.concatenate(features)


if __name__ == "__main__":
    Study(arguments()).go()
