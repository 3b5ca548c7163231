"""study.md: tables, figures, and what made them."""

from pathlib import Path

import figures
import paper
import tables
from results import Results, load


def write(folder: Path, name: str, mode, study):
    """study.md and its figures, of what there is."""
    ours, theirs = load(folder)
    if not ours and not theirs:
        raise SystemExit(f"{folder}: no run is finished yet")
    text = introduction(name, mode, (ours or theirs)[0].about["machine"])
    if ours:
        figures.of_data(folder, mode, study)
        figures.of_runs(folder, ours)
        text += comparison(ours, mode)
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


def comparison(ours: list[Results], mode) -> str:
    explained = ""
    if len(ours) > 3:
        explained = f"""
The paper's explanation, that multiply-adds decide on a CPU and the number of layers on a GPU, as least squares over
{len(ours)} networks:

{tables.explanation(ours)}"""
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
{tables.in_tract(ours)}
## Rates
Milliseconds a map (maps a second) in f32; on the CPU one thread, by its CPU time, which other work on the machine
hardly changes. The paper's MobileNet-V1 in TensorFlow 1.4 took {paper.SECONDS["CPU"]:g} s
a frame on a CPU and {paper.SECONDS["GPU"]:g} s on a GPU.

{tables.rate(ours)}{explained}
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
