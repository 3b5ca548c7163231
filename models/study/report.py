"""study.md: tables, figures, and what made them."""

from pathlib import Path

import figures
import paper
import tables
from results import Results, draw_pictures, engines, load


# The mode whose rates on the CPU stand in for those of a mode that keeps no weights.
LENDER = "small"


def write(folder: Path, name: str, mode, study):
    """study.md and its figures, of what there is."""
    draw_pictures(folder, study.seed)
    ours, theirs = load(folder)
    if not ours and not theirs:
        raise SystemExit(f"{folder}: no run is finished yet")
    # What wants weights, of the same networks where they were kept.
    lent = [] if mode.weights else load(folder.parent / LENDER)[0]
    text = introduction(name, mode, (ours or theirs)[0].about["machine"])
    if ours:
        figures.of_data(folder, mode, study)
        figures.of_runs(folder, ours, engines(lent) | engines(ours))
        text += comparison(ours, lent, mode)
    if theirs:
        text += papers_settings(theirs)
    (folder / "study.md").write_text(text)
    print(f"{folder / 'study.md'}: {len(ours)} runs by hitgate's recipe, {len(theirs)} by the paper's", flush=True)


def introduction(name: str, mode, machine: str) -> str:
    length = f"Each network was trained for {mode.steps:,} steps." if mode.steps else (
        f"Each network was trained for {mode.minutes:g} minutes of one core. The large ones saw few maps in them (table 4):\n"
        "their accuracies say what a CPU makes of them in that time, not what they can do."
    )  # fmt: skip
    toy = "" if name != "toy" else (
        "\n**A toy: it proves that the study runs. Its accuracies and rates say nothing about the networks.**\n"
    )  # fmt: skip
    return f"""# The paper's comparison, mode `{name}`

Made by `python models/study/study.py {name}` on {machine}.
{length}
{toy}
Sets are detectors of the simulator, each with one geometry; the paper's frames are real. Networks are trained on all sets
together, all on the same maps of two channels (`--reduce peaks`), by the recipe of `models/train` on whole maps and classes
alone (batch {mode.batch}; AlexNet and VGG16, without batch norm, at a tenth of the rate), without auxiliary heads and
without pre-training; they are tested on other frames of the same sets. Shares are k/n; bounds are exact, one-sided, 95 %.
"""


def comparison(ours: list[Results], lent: list[Results], mode) -> str:
    neighbours = tables.per_run(
        ours,
        {
            "ten nearest by features": lambda run: tables.share(*run.about["knn"]["features"]),
            "ten nearest in the picture": lambda run: tables.share(*run.about["knn"]["picture"]),
        },
    )
    return f"""
## Table 1: sets
{tables.sets(ours, mode)}
## Table 2: classes
{tables.classes()}
## Table 3: networks
{tables.networks(ours)}
## Table 4: accuracy by set
{tables.accuracy(ours)}
## Table 5: three classes
{tables.confusions(ours)}
## Table 6: kept and dropped, at P(hit) + P(maybe) >= 0.5
{tables.filters(ours)}
## The same networks as ONNX in tract, by `hitgate eval --engine tract`
{as_onnx(ours, mode)}
## Rates
Milliseconds a map (maps a second) in f32; on the CPU one thread, by its CPU time, which other work on the machine
hardly changes. The paper's MobileNet-V1 in TensorFlow 1.4 took {paper.SECONDS["CPU"]:g} s
a frame on a CPU and {paper.SECONDS["GPU"]:g} s on a GPU.

{rates(ours, lent)}
## Figures
1. Equalization, before and after: f(a) = H[a] (K - 1) / (M N), K = 256. ![](figure-1.png)
2. A hit, a maybe and a miss, largest count of each block, equalized. ![](figure-2.png)
3. Augmentation, the paper's six. ![](figure-3.png)
4. From frame to verdict: frame → blocks of pixels → map of 0..127 → layers (table 3) → P(hit), P(maybe), P(miss) → keep where
   P(hit) + P(maybe) reaches the threshold.
5. Accuracy and rate. ![](figure-5.png)
6. t-SNE of what goes into the last layer. Islands in such a picture prove no absence of bias; beside it the share of maps
   whose ten nearest others mostly are of their class. ![](figure-6.png)
7. Rates. ![](figure-7.png)
8. Reliability of P(hit) + P(maybe). ![](figure-8.png)
9. Test maps, from the lowest to the highest P(hit) + P(maybe) of MobileNet-V1 in each class. ![](figure-9.png)

{neighbours}"""


def as_onnx(ours: list[Results], mode) -> str:
    if mode.weights:
        return tables.in_tract(ours)
    return f"Not compared here: this mode keeps no weights. Mode `{LENDER}` compares the two.\n"


def rates(ours: list[Results], lent: list[Results]) -> str:
    """What was measured with these runs; and what was lent, with the machine that it was measured on."""
    told = [measured(ours) if engines(ours) else "None were measured with these runs.\n"]
    if any(engine == "GPU" for engine, _ in engines(ours)):
        told.append("On the GPU by PyTorch, which rounds what convolutions multiply to TF32.\n")
    if lent:
        about = lent[0].about
        told.append(
            f"On the CPU, as mode `{about['mode']}` measured the same networks on {about['machine']}:\n"
            f"what they have learnt changes no rate.\n\n{measured(lent)}"
        )
    return "\n".join(told)


def measured(runs: list[Results]) -> str:
    if len(runs) <= 3:
        return tables.rate(runs)
    return f"""{tables.rate(runs)}
The paper's explanation, that multiply-adds decide on a CPU and the number of layers on a GPU, as least squares over
{len(runs)} networks:

{tables.explanation(runs)}"""


def papers_settings(theirs: list[Results]) -> str:
    first = theirs[0].about
    return f"""
## The paper's own settings
Largest count of each block, equalized, one channel (`--reduce max`), where the paper equalizes the whole image and crops
it afterwards; {first["frames"]} frames, {first["samples"]} samples with their
copies; 7:2:1; batch 16; rate 0.001; classes in equal shares, which over-samples maybes and under-samples misses. The paper
names neither optimizer nor schedule: here Adam and a cosine. It splits after augmentation, so that copies of one frame
stand on both sides. New frames are of the same detector and were in no split.

{tables.papers_runs(theirs)}
{tables.worth(theirs)}"""
