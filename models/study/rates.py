"""Seconds a map, by engine and batch; and what they depend on."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

BATCHES = (1, 32)


@dataclass(frozen=True)
class Effort:
    """How long a rate is measured: so many times at least, and for so many seconds."""

    times: int
    seconds: float


def seconds(run, batch: int, effort: Effort, clock=time.process_time) -> float:
    """Median seconds a map of `run`, which takes a whole batch. On one thread the CPU time of the process is what an idle
    core takes, whatever else the machine does."""
    run()
    times, end = [], clock() + effort.seconds
    while len(times) < effort.times or clock() < end:
        start = clock()
        run()
        times.append(clock() - start)
    return float(np.median(times)) / batch


def onnx_runtime(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda maps: session.run(None, {"map": maps})


def open_vino(path: Path):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.read_model(path)

    def run(maps):
        if run.shape != maps.shape:
            model.reshape(maps.shape)
            run.compiled, run.shape = core.compile_model(model, "CPU", settings), maps.shape
        return run.compiled(maps)

    run.compiled = run.shape = None
    return run


def on_cpu(path: Path, channels: int, side: int, effort: Effort) -> dict:
    """Engine -> batch -> seconds a map, in f32 on one thread, of the engines that are installed."""
    found = {}
    for engine, load in (("ONNX Runtime", onnx_runtime), ("OpenVINO", open_vino)):
        try:
            run = load(path)
        except ImportError as error:
            print(f"no rates of {engine}: {error}", flush=True)
            continue
        found[engine] = {}
        for batch in BATCHES:
            maps = np.random.default_rng(0).random((batch, channels, side, side), np.float32)
            found[engine][str(batch)] = seconds(lambda: run(maps), batch, effort)
    return found


@torch.no_grad()
def on_gpu(model: torch.nn.Module, channels: int, side: int, effort: Effort) -> dict:
    """Batch -> seconds a map, in f32 by PyTorch, which by default rounds what convolutions multiply to TF32."""
    model = model.cuda().eval()
    found = {}
    for batch in BATCHES:
        maps = torch.rand(batch, channels, side, side, device="cuda")

        def run():
            model(maps)
            torch.cuda.synchronize()

        found[str(batch)] = seconds(run, batch, effort, time.perf_counter)
    return found


def explained(times: np.ndarray, multiply_adds: np.ndarray, layers: np.ndarray) -> dict:
    """Least squares of log time: by log multiply-adds, by log layers, and by both; slopes and R²."""
    y = np.log(times)
    causes = {"multiply-adds": [np.log(multiply_adds)], "layers": [np.log(layers)]}
    causes["both"] = causes["multiply-adds"] + causes["layers"]
    found = {}
    for name, columns in causes.items():
        design = np.column_stack([np.ones_like(y), *columns])
        weights, *_ = np.linalg.lstsq(design, y, rcond=None)
        left = ((y - design @ weights) ** 2).sum()
        found[name] = {"slopes": weights[1:].tolist(), "r2": float(1 - left / ((y - y.mean()) ** 2).sum())}
    return found
