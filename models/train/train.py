"""Train hitgate's MobileNet-V1 on prepared maps and export it as ONNX. `python train.py --help` lists the settings."""

import argparse
import copy
import itertools
import json
import math
import os
import signal
import time
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import metrics
from maps import FULL_SCALE, Batch, Maps, Mixture, open_maps
from network import CLASSES, MobileNetV1, Rectifier
from schedule import Clock, rate
from start import MAPS_TO_MEASURE, averaged, take_exported


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parse.add_argument
    add("--data", nargs="+", required=True, metavar="NPY", help="training maps; glob patterns may be quoted")
    add("--val", nargs="+", required=True, metavar="NPY", help="validation maps, from other seeds than --data")
    add("--without", nargs="+", default=[], metavar="SET",
        help="leave the maps of these sets out, of --data and of --val: a detector that the network is to be tested on")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for model.onnx, history and checkpoint")
    add("--width", type=float, default=0.25, help="width multiplier")
    add("--input", type=int, default=224, metavar="N", help="side of the maps in pixels")
    length = parse.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, default=30.0, help="passes over as many maps as --data holds")
    length.add_argument("--minutes", type=float, help="train for this long instead")
    add("--batch", type=int, default=64)
    add("--mix", nargs=3, type=float, default=[0.35, 0.3, 0.35], metavar=("HIT", "MAYBE", "MISS"),
        help="share of each class in a batch; maybes are rare on disk and over-sampled here")
    add("--rate", type=float, default=2e-3, help="peak learning rate at batch 64; scaled by the root of the batch")
    add("--decay", type=float, default=0.02, help="weight decay of dense and 1 x 1 weights")
    add("--ordinal", type=float, default=0.5, help="weight of the two-class loss, hit or maybe against miss")
    add("--count", type=float, default=1.0, help="weight of guessing how many spots are where, which only training does")
    add("--part", type=int, default=128, metavar="CELLS",
        help="side of the squares of a map that the run begins with; the spots on a square make its class")
    add("--parts", type=float, default=0.6, metavar="SHARE", help="share of the run that sees squares, not whole maps")
    add("--rounded", type=float, default=0.0, metavar="SHARE",
        help="share of the run, at its end, with activations rounded to the integer network's seven bits")
    add("--smooth", type=float, default=0.02, help="label smoothing")
    add("--average", type=float, default=0.999, help="decay of the averaged weights, which are what is exported")
    add("--report-every", type=int, default=25_600, metavar="MAPS", help="maps between two reports and checkpoints")
    add("--start", type=Path, nargs="+", metavar="CHECKPOINT",
        help="begin with the averaged weights of another run, or the mean of several (--epochs 0 exports that), or with one model.onnx")
    add("--fixed", action="store_true",
        help="leave the network up to its middle as --start has it: about twice as fast")
    add("--resume", action="store_true", help="go on from DIR/checkpoint.pt if there is one")
    add("--threads", type=int, help="CPU threads; all cores by default")
    add("--readers", type=int, default=1, help="threads that read and turn maps")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--compile", action="store_true", help="fuse the network's loops first: faster after a minute, needs a C++ compiler")
    add("--seed", type=int, default=1)
    return parse


def set_modes(rectifiers, mode: str):
    for rectifier in rectifiers:
        rectifier.mode = mode


class Average:
    """Exponential moving average of weights and of batch-norm statistics; young averages forget faster."""

    def __init__(self, model: torch.nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, model: torch.nn.Module, step: int):
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values()))
        floats = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [new for _, new in floats], weight)


def as_input(maps: np.ndarray, device: torch.device) -> torch.Tensor:
    """The network's f32 input: a map's 0..=127 as 0..=1. Channels-last: 1.5 times faster on a CPU."""
    on_device = torch.from_numpy(maps).to(device, non_blocking=True)
    return (on_device.float() / FULL_SCALE).contiguous(memory_format=torch.channels_last)


def loss_of(logits: torch.Tensor, classes: torch.Tensor, ordinal: float, smooth: float) -> torch.Tensor:
    """Cross entropy of three classes, plus that of the decision itself: hit or maybe against miss.

    The second term makes calling a hit a miss dearer than calling it a maybe.
    """
    three = functional.cross_entropy(logits, classes, label_smoothing=smooth)
    wanted = torch.logsumexp(logits[:, : metrics.MISS], 1) - logits[:, metrics.MISS]
    keep = (classes != metrics.MISS).to(logits.dtype) * (1 - smooth) + smooth / 2
    return three + ordinal * functional.binary_cross_entropy_with_logits(wanted, keep)


def count_loss(log_rates: list[torch.Tensor], batch: Batch) -> torch.Tensor | float:
    """Of spots that are Poisson about the guess: for each grid the mean over its places, in units of about what a guess of
    the maps' own mean would cost. Maps whose spots nobody has placed say nothing here."""
    placed = np.flatnonzero(batch.placed)
    if not len(placed):
        return 0.0
    total = 0.0
    for log_rate, count in zip(log_rates, batch.counts):
        log_rate = log_rate[placed].float().clamp(-12, 6)
        count = torch.from_numpy(count[placed]).to(log_rate.device)
        mean = count.mean().clamp_min(1e-4)
        total = total + (log_rate.exp() - count * log_rate).mean() / (mean * (1 + mean.log().abs()))
    return total


def parameter_groups(model: torch.nn.Module, decay: float) -> list[dict]:
    """Decay only where many weights add up: not batch norm, biases or the nine weights of a depthwise filter."""
    dense, rest = [], []
    for weight in model.parameters():
        shared = weight.ndim == 2 or (weight.ndim == 4 and weight.shape[1] > 1)
        (dense if shared else rest).append(weight)
    return [{"params": dense, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


@torch.no_grad()
def logits_of(model: torch.nn.Module, maps: Maps, device: torch.device, batch: int = 128) -> torch.Tensor:
    """Logits f32 [n, 3] of all maps, on the CPU."""
    parts = np.array_split(np.arange(len(maps)), -(-len(maps) // batch))
    return torch.cat([model(as_input(maps.read(part), device)).float().cpu() for part in parts])


def fit_calibration(logits: torch.Tensor, classes: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The T and the bias f32 [3] that minimise the cross entropy of logits / T + bias.

    Batches show each class as often as `--mix` says, which is not how often the validation maps do: the bias takes that
    back, so that probabilities are those of the validation mix.
    """
    log_t, bias = torch.zeros(1, requires_grad=True), torch.zeros(len(CLASSES), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t, bias], lr=0.5, max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits / log_t.exp() + bias, classes)
        loss.backward()
        return loss

    optimizer.step(closure)
    bias = bias.detach()
    return float(log_t.detach().exp()), bias - bias.mean()


def export(model: torch.nn.Module, path: Path, channels: int, side: int, bias: torch.Tensor):
    """ONNX with an open batch axis: `map` f32 [n, channels, side, side] in 0..=1 to `logits` f32 [n, 3], `bias` added."""
    portable = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()
    # The last dense layer makes the logits of every network here.
    head = [module for module in portable.modules() if isinstance(module, torch.nn.Linear)][-1]
    head.bias.data += bias
    with warnings.catch_warnings():
        # The tracing exporter is old but writes this network as plain Conv, Relu and Gemm, batch norm folded.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            portable,
            (torch.zeros(1, channels, side, side),),
            path,
            dynamo=False,
            opset_version=13,
            input_names=["map"],
            output_names=["logits"],
            dynamic_axes={"map": {0: "n"}, "logits": {0: "n"}},
        )


def replace(path: Path, write):
    """Write beside the file, then rename: a run killed at any moment leaves the old file or the new one."""
    new = path.with_name(path.name + ".new")
    write(new)
    os.replace(new, path)


class Run:
    """One training run: what a checkpoint holds, and the loop over it.

    The model is any network of maps to three logits; with `--count` one that has `with_counts` too.
    """

    def __init__(self, args: argparse.Namespace, mixture: Mixture, val: Maps, model: torch.nn.Module):
        if args.parts > 0 and (args.part % 32 or args.part > args.input):
            raise SystemExit(f"--part {args.part}: a multiple of 32, at most the {args.input} cells of a map")
        unplaced = sum(places is None for places in mixture.maps.places)
        if args.parts > 0 and unplaced:
            raise SystemExit(
                f"--parts {args.parts}: of {unplaced} of the {len(mixture.maps)} training maps it is not known where the spots are (no `at`, "
                "as of labelled files), nor what is on a square cut from them: give --parts 0, which learns from whole maps"
            )
        if args.fixed and (args.rounded or not args.start):
            raise SystemExit("--fixed: wants --start, whose beginning it keeps, and no --rounded, which would change it")
        if args.threads:
            torch.set_num_threads(args.threads)
        gpu = args.device == "cuda" or (args.device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if gpu else "cpu")
        self.args, self.mixture, self.train, self.val = args, mixture, mixture.maps, val
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.rectifiers = [module for module in self.model.modules() if isinstance(module, Rectifier)]
        forward = self.model.with_counts if args.count else self.model
        self.forward = torch.compile(forward) if args.compile else forward
        self.average = Average(self.model, args.average)
        self.peak = args.rate * (args.batch / 64) ** 0.5
        self.optimizer = torch.optim.AdamW(parameter_groups(self.model, args.decay), lr=self.peak)
        self.step, self.spent = 0, 0.0
        args.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = args.out / "checkpoint.pt"
        self.history = args.out / "history.jsonl"
        if args.resume and self.checkpoint.exists():
            self.restore()
        else:
            self.history.write_text("")
        if args.fixed:
            self.model.fix_beginning()
        total = None if args.minutes else math.ceil(args.epochs * len(self.train) / args.batch)
        self.clock = Clock(total, args.minutes, self.spent)

    def recipe(self) -> dict:
        """The settings that a resumed run must share with the one that it goes on from."""
        names = ("width", "input", "batch", "mix", "rate", "decay", "ordinal", "count", "part", "parts", "rounded", "smooth", "average", "seed", "fixed")
        recipe = {name: getattr(self.args, name) for name in names} | {"maps": len(self.train)}
        return recipe | ({"without": sorted(self.args.without)} if self.args.without else {})

    def restore(self):
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["recipe"] != self.recipe():
            raise SystemExit(f"{self.checkpoint} is of another recipe, {state['recipe']}: give that or another --out")
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for rectifier, step in zip(self.rectifiers, state["rounding"]):
            rectifier.step = step
        self.step, self.spent = state["step"], state["spent"]
        kept = self.history.read_text().splitlines(keepends=True)[: state["reports"]]
        self.history.write_text("".join(kept))
        print(f"resumed at step {self.step}")

    def save(self):
        state = {
            "recipe": self.recipe(),
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rounding": [rectifier.step for rectifier in self.rectifiers],
            "step": self.step,
            "spent": self.clock.spent(),
            "reports": len(self.history.read_text().splitlines()),
        }
        replace(self.checkpoint, lambda path: torch.save(state, path))

    def batches(self):
        """Batches from the current step on, read ahead by other threads."""
        with ThreadPoolExecutor(self.args.readers) as pool:
            steps = itertools.count(self.step)

            def read():
                step = next(steps)
                part = self.args.part if self.clock.progress(step) < self.args.parts else None
                return pool.submit(self.mixture.batch, step, part)

            ahead = deque(read() for _ in range(self.args.readers + 1))
            while True:
                yield ahead.popleft().result()
                ahead.append(read())

    def round_activations(self, maps: np.ndarray):
        """Turn rounding on, with steps that hold the largest activation of this batch if none are set yet."""
        if all(not rectifier.step.any() for rectifier in self.rectifiers):
            self.model.eval()
            set_modes(self.rectifiers, "measure")
            with torch.no_grad():
                self.model(as_input(maps, self.device))
            self.model.train()
            for rectifier in self.rectifiers:
                # A channel that was silent is rounded as finely as makes no difference.
                rectifier.step.clamp_(min=1e-6)
        set_modes(self.rectifiers, "rounded")

    def learn(self, batch: Batch) -> torch.Tensor:
        """One optimizer step; the loss stays on the device, so that a GPU is not waited for."""
        progress = self.clock.progress(self.step)
        rounds = self.args.rounded > 0 and progress >= 1 - self.args.rounded
        if rounds and self.rectifiers[0].mode == "exact":
            self.round_activations(batch.maps)
        share = rate(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * share
        classes = torch.from_numpy(batch.classes).to(self.device)
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        with half:
            answer = self.forward(as_input(batch.maps, self.device))
        logits, log_rates = answer if self.args.count else (answer, None)
        loss = loss_of(logits.float(), classes, self.args.ordinal, self.args.smooth)
        if log_rates:
            loss = loss + self.args.count * count_loss(log_rates, batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.average.follow(self.model, self.step)
        return loss.detach()

    def bias(self) -> np.ndarray:
        """f32 [3]: what `model.onnx` adds to the logits of the averaged weights."""
        last = json.loads(self.history.read_text().splitlines()[-1])
        return np.float32(last["temperature"]) * np.array(last["bias"], np.float32)

    def report(self, losses: list[torch.Tensor], since: float):
        """Judge the averaged weights on the validation maps and write everything that a later reader needs."""
        loss = round(float(torch.stack(losses).mean()), 5) if losses else None
        speed = len(losses) * self.args.batch / (time.monotonic() - since)
        logits = logits_of(self.average.model, self.val, self.device)
        classes = torch.from_numpy(self.val.classes)
        temperature, bias = fit_calibration(logits, classes)
        judged = metrics.report((logits.double() / temperature + bias).softmax(1).numpy(), self.val.classes)
        line = {
            "step": self.step,
            "maps_seen": self.step * self.args.batch,
            "minutes": round(self.clock.spent() / 60, 2),
            "progress": round(self.clock.progress(self.step), 4),
            "loss": loss,
            "maps_per_second": round(speed, 1),
            "temperature": temperature,
            "bias": bias.tolist(),
            **judged,
        }
        with open(self.history, "a") as history:
            history.write(json.dumps(line) + "\n")
        self.keep(temperature, bias)
        print(
            f"{line['progress']:6.1%}  step {self.step:7d}  {line['minutes']:6.1f} min  {speed:7.1f} maps/s  "
            f"loss {loss or 'none'}  | val: accuracy {judged['accuracy']:.4f}  AUC {judged['auc']:.5f}  "
            f"with 90 % of misses dropped: hits kept {judged['hit_recall']:.4f}, "
            f"hits or maybes {judged['wanted_recall']:.4f}",
            flush=True,
        )

    def keep(self, temperature: float, bias: torch.Tensor):
        """Write the network as it is used, and the checkpoint to go on from."""
        side = self.args.input
        replace(self.args.out / "model.onnx", lambda path: export(self.average.model, path, self.val.channels, side, temperature * bias))
        fitted = {"temperature": temperature, "fitted_on": len(self.val), "classes": list(CLASSES)}
        replace(self.args.out / "temperature.json", lambda path: path.write_text(json.dumps(fitted) + "\n"))
        self.save()

    def go(self):
        """Train to the end of the schedule, or until a signal; both leave a checkpoint and a model."""
        stop = []
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.append(True))
        print(
            f"{len(self.train)} training maps ({', '.join(map(str, np.bincount(self.train.classes, minlength=3)))} "
            f"of {', '.join(CLASSES)}), {len(self.val)} for validation, on {self.device}",
            flush=True,
        )
        self.model.train()
        interval = max(1, self.args.report_every // self.args.batch)
        losses, since = [], time.monotonic()
        for batch in self.batches():
            done = self.clock.progress(self.step) >= 1.0
            if not done:
                losses.append(self.learn(batch))
            if done or stop or self.step % interval == 0:
                self.report(losses, since)
                losses, since = [], time.monotonic()
            if done or stop:
                return


def leave_out(sets: list[str], train: Maps, val: Maps) -> tuple[Maps, Maps]:
    """The training and the validation maps of all other sets. Validation fits probabilities, so it may not know the sets either."""
    known = sorted({*train.sets, *val.sets})
    for name in sets:
        if name not in known:
            raise SystemExit(f"--without {name}: no map is of such a set; there are {', '.join(known)}")
    rest = train.without(sets), val.without(sets)
    fewer = [f"{len(all_of) - len(some)} of {len(all_of)}" for all_of, some in zip((train, val), rest)]
    print(f"without {', '.join(sets)}: {fewer[0]} training maps and {fewer[1]} validation maps left out", flush=True)
    return rest


def main():
    args = parser().parse_args()
    torch.manual_seed(args.seed)
    train, val = open_maps(args.data, args.input), open_maps(args.val, args.input)
    if args.without:
        train, val = leave_out(args.without, train, val)
    if not len(val):
        raise SystemExit("no validation map is left: give --val maps of other sets")
    model = MobileNetV1(args.width, train.channels, args.input)
    match args.start or []:
        case [path] if path.suffix == ".onnx":
            some = np.linspace(0, len(train) - 1, min(len(train), MAPS_TO_MEASURE)).astype(int)
            take_exported(model, path, as_input(train.read(some), torch.device("cpu")))
        case [_, *_] as checkpoints:
            model.load_state_dict(averaged(checkpoints))
    Run(args, Mixture(train, args.batch, args.mix, args.seed), val, model).go()


if __name__ == "__main__":
    main()
