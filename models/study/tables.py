"""The paper's tables with ours beside them, in Markdown."""

from typing import Callable

import numpy as np
from scipy.stats import beta

import paper
import rates
from network import CLASSES
from networks import NETWORKS
from results import Results, engines

GAP = "–"


def share(k: int, n: int) -> str:
    return f"{k / n:.3f} ({k}/{n})" if n else GAP


def bounded(k: int, n: int) -> str:
    """With the exact one-sided lower bound at 95 %."""
    return f"{share(k, n)}, at least {beta.ppf(0.05, k, n - k + 1) if k else 0:.3f}" if n else GAP


def table(head: list, rows: list) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def per_run(runs: list[Results], columns: dict[str, Callable]) -> str:
    """A row for each run; a column is its heading and what it tells of a run."""
    return table(["network", *columns], [[run.title, *(tell(run) for tell in columns.values())] for run in runs])


def sets(ours: list[Results], mode) -> str:
    rows = [[name, protein, f"{kev} keV", f"{place}, {detector}", 2000, GAP] for name, protein, kev, place, detector in paper.SETS]  # fmt: skip
    for number, name in enumerate(ours[0].about["sets"]):
        counts = np.bincount(ours[0].on_set(number).classes, minlength=3)
        tested = f"{counts.sum()}: {' / '.join(map(str, counts))}"
        rows.append([name, "many", "one, drawn", f"simulated {name}", mode.maps["train"], tested])
    head = ["set", "protein", "energy", "detector", "frames, ours to train on", "to test on: hit / maybe / miss"]
    return table(head, rows)


def classes() -> str:
    rows = [[name, rule, "the same, counted by the simulator"] for name, rule in paper.RULE]
    return table(["class", "spots X at resolutions below the water ring's", "ours"], rows)


def networks(ours: list[Results]) -> str:
    def size(key):
        return lambda run: run.about["size"][key]

    return per_run(
        ours,
        {
            "input": lambda run: NETWORKS[run.network].side,
            "layers in the paper": lambda run: NETWORKS[run.network].paper_layers or GAP,
            "layers with weights on the longest way": size("depth"),
            "in all": size("weighted_layers"),
            "multiply-adds / 10⁶": lambda run: f"{run.about['size']['multiply_adds'] / 1e6:,.0f}",
            "parameters / 10⁶": lambda run: f"{run.about['size']['parameters'] / 1e6:.2f}",
        },
    )


def accuracy(ours: list[Results]) -> str:
    of_ten = [f"{k}/10" for _, k in paper.ACCURACY.values()]
    validation = [f"{share:.3f}" for share, _ in paper.ACCURACY.values()]
    theirs = table(
        ["MobileNet-V1 in the paper", *paper.ACCURACY],
        [["validation accuracy", *validation], ["right of ten test frames", *of_ten]],
    )
    each = {
        name: lambda run, number=number: share(*run.on_set(number).right())
        for number, name in enumerate(ours[0].about["sets"])
    }
    def on_further(name):
        return lambda run: share(*right_of(run.about["further"][name])) if name in run.about.get("further", {}) else GAP

    further = sorted({name for run in ours for name in run.about.get("further", {})})
    rest = {
        "all": lambda run: share(*run.test.right()),
        "AUC, misses against the rest": lambda run: f"{run.test.auc():.3f}",
        "maps seen in training": lambda run: run.about["maps_seen"],
    }
    others = {f"{name}, never trained on": on_further(name) for name in further}
    return f"{theirs}\n{per_run(ours, each | rest | others)}"


def right_of(judged: dict) -> tuple[int, int]:
    """k of n maps whose class of three is right, by what `hitgate eval` says."""
    confusion = np.array(judged["confusion"])
    return int(confusion.trace()), int(confusion.sum())


def confusions(ours: list[Results]) -> str:
    rows = []
    for run in ours:
        theirs = paper.CONFUSION.get(run.network)
        for label, counts in enumerate(run.test.confusion()):
            cells = [share(k, counts.sum()) for k in counts]
            beside = " / ".join(f"{x:.3f}" for x in theirs[label]) if theirs else GAP
            rows.append([run.title, CLASSES[label], *cells, beside])
    return table(["network", "label", "called hit", "maybe", "miss", "paper, LN83: hit / maybe / miss"], rows)


def filters(ours: list[Results]) -> str:
    def theirs(place):
        return lambda run: f"{paper.FILTER[run.network][place]:.3f}" if run.network in paper.FILTER else GAP

    return per_run(
        ours,
        {
            "hit or maybe kept": lambda run: bounded(*run.test.kept()),
            "paper": theirs(0),
            "miss dropped": lambda run: bounded(*run.test.dropped()),
            "paper ": theirs(1),
            "calibration error": lambda run: f"{run.test.reliability()[1]:.3f}",
        },
    )


def in_tract(ours: list[Results]) -> str:
    def moved(run):
        cells = int(np.abs(run.test.confusion() - run.about["tract"]["confusion"]).sum()) // 2
        return f"{cells} maps in another cell" if cells else "the same"

    return per_run(
        ours,
        {
            "three classes right by tract": lambda run: share(*right_of(run.about["tract"])),
            "confusion, against PyTorch's": moved,
            "AUC by tract": lambda run: f"{run.about['tract']['auc']:.5f}",
            "by PyTorch": lambda run: f"{run.test.auc():.5f}",
        },
    )


def rate(ours: list[Results]) -> str:
    def told(times):
        return lambda run: f"{1000 * times[run.title]:.2f} ({1 / times[run.title]:,.1f})" if run.title in times else GAP

    columns = {f"{engine}, batch {batch}": told(times) for (engine, batch), times in engines(ours).items()}
    return per_run(ours, columns | {"load of the machine": lambda run: f"{run.about['load']:.1f}"})


def explanation(ours: list[Results]) -> str:
    def of(key):
        return np.array([run.about["size"][key] for run in ours], float)

    rows = []
    for (engine, batch), times in engines(ours).items():
        # An engine or a GPU that only some of the networks met explains nothing.
        if len(times) < len(ours):
            continue
        seconds = np.array([times[run.title] for run in ours])
        fit = rates.explained(seconds, of("multiply_adds"), of("weighted_layers"))
        way = rates.explained(seconds, of("multiply_adds"), of("depth"))
        r2 = [fit["multiply-adds"], fit["layers"], way["layers"], fit["both"]]
        exponents = " and ".join(f"{slope:+.2f}" for slope in fit["both"]["slopes"])
        rows.append([f"{engine}, batch {batch}", *(f"{one['r2']:.2f}" for one in r2), exponents])
    causes = ["multiply-adds", "layers in all", "layers on the longest way", "multiply-adds and layers in all"]
    return table(["log of the time by the log of", *(f"{cause}: R²" for cause in causes), "exponents of both"], rows)


def papers_runs(theirs: list[Results]) -> str:
    rows = []
    for run in theirs:
        about, fresh = run.about, run.fresh()
        (k, n), (d, m) = run.test.kept(), run.test.dropped()
        width = f", width {about['width']}" if about["width"] not in (None, 1.0) else ""
        own = [share(*run.test.right()), f"{run.test.auc():.3f}", f"{k / n:.3f} / {d / m:.3f}"]
        settings = [run.title + width, about["set"], about["split"], f"{about['shared']:.2f}", about["steps"]]
        rows.append([*settings, *own, share(*fresh.right()), f"{fresh.auc():.3f}"])
    head = ["network", "set", "split, of augmentation", "test samples with a copy in training", "steps"]
    own = ["accuracy, own test samples", "AUC", "kept / dropped"]
    return table([*head, *own, "accuracy, new frames", "AUC, new frames"], rows)


def worth(theirs: list[Results]) -> str:
    """What the split after augmentation is worth, set by set."""
    accuracy = {
        (run.about["set"], run.about["split"]): np.divide(*run.test.right())
        for run in theirs
        if run.network == "mobilenet-v1"
    }
    lines = []
    for on in sorted({name for name, _ in accuracy}):
        after, before = accuracy.get((on, "after")), accuracy.get((on, "before"))
        if after is not None and before is not None:
            lines.append(
                f"- {on}: accuracy {after:.3f} where samples are split after augmentation, as in the paper, "
                f"{before:.3f} where frames are split before: that is worth {after - before:+.3f}.\n"
            )
    return "".join(lines)
