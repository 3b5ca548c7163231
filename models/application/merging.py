"""What dropping costs: the frames that DIALS indexed by their true count, and completeness, multiplicity and mean
I/sigma by shell, of the frames that were kept beside all.

usage: merging.py WORK    the folder that run.sh filled
"""

import json
import sys
from pathlib import Path

from cctbx import crystal, miller
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentList
from iotbx.merging_statistics import dataset_statistics

SYMMETRY = crystal.symmetry(unit_cell=(79.1, 79.1, 37.9, 90, 90, 90), space_group_symbol="P43212")
D_MAX, D_MIN, SHELLS = 40.0, 1.8, 8
COUNTS = [(0, 3), (4, 9), (10, 19), (20, 49), (50, 99), (100, 1000)]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def image(experiment):
    return Path(experiment.imageset.get_path(0)).name


def images(lists):
    """Names of the images that experiment lists tell of."""
    return {image(e) for path in lists for e in ExperimentList.from_file(str(path), check_format=False)}


def observations(work):
    """Of each image that integrated its reflections with their summed intensities and variances."""
    found = {}
    for path in sorted(work.glob("index/*/*_integrated.refl")):
        table = flex.reflection_table.from_file(str(path))
        table = table.select(table.get_flags(table.flags.integrated_sum))
        table = table.select(table["intensity.sum.variance"] > 0)
        experiments = ExperimentList.from_file(str(path.with_suffix(".expt")), check_format=False)
        for number, experiment in enumerate(experiments):
            lattice = table.select(table["id"] == number)
            found.setdefault(image(experiment), []).append(lattice)
    return found


def merged(lattices):
    """Statistics of lattices in shells that are the same for any of them. Frames are not brought to one scale: I/sigma
    is that of counting, and how well equivalents agree would mean nothing."""
    indices, intensities, sigmas = flex.miller_index(), flex.double(), flex.double()
    for lattice in lattices:
        indices.extend(lattice["miller_index"])
        intensities.extend(lattice["intensity.sum.value"])
        sigmas.extend(flex.sqrt(lattice["intensity.sum.variance"]))
    array = miller.set(SYMMETRY, indices, anomalous_flag=False).array(intensities, sigmas)
    return dataset_statistics(
        array.set_observation_type_xray_intensity(),
        d_max=D_MAX,
        d_min=D_MIN,
        n_bins=SHELLS,
        extend_d_max_min=True,
        use_internal_variance=False,
        sigma_filtering=None,
        assert_is_not_unique_set_under_symmetry=False,
    )


def row(name, every, kept):
    cells = [f"{100 * s.completeness:6.1f} {s.mean_redundancy:6.2f} {s.i_over_sigma_mean:6.2f}" for s in (every, kept)]
    return f"{name:>13}  " + "  |  ".join(cells)


def main(work):
    spots = {line["file"]: line["spots"] for line in lines(work / "truth.jsonl")}
    kept = {Path(line["file"]).name for line in lines(work / "verdicts.jsonl") if line["keep"]}
    tried = images(work.glob("index/*/*_imported.expt"))
    indexed = images(work.glob("index/*/*_refined.expt"))
    found = observations(work)

    print("true count   frames   kept  indexed  of these kept  integrated")
    for low, high in COUNTS:
        here = {name for name in tried if low <= spots[name] <= high}
        sets = (here, here & kept, here & indexed, here & indexed & kept, here & found.keys())
        print(f"{low:>4} to {high:<4} " + "{:>7} {:>6} {:>8} {:>14} {:>11}".format(*map(len, sets)))

    left = found.keys() & kept
    print(f"\nreflections of {len(found)} integrated frames  |  of the {len(left)} kept among them")
    if not left:
        return
    every = merged([lattice for lattices in found.values() for lattice in lattices])
    left = merged([lattice for name in left for lattice in found[name]])
    print("      shell, A  compl.  mult.  I/sig  |  compl.  mult.  I/sig")
    for of_all, of_kept in zip(every.bins, left.bins):
        print(row(f"{of_all.d_max:.2f} to {of_all.d_min:.2f}", of_all, of_kept))
    print(row("all", every.overall, left.overall))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
