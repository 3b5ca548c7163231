// Entry points of the preparation.

#include "cells.cuh"
#include "contrast.cuh"
#include "ranks.cuh"

#include "entry.cuh"

ENTRY(peaks, Prepare, cells<PeaksColumn>)
ENTRY(maximum, Prepare, cells<MaximumColumn>)
ENTRY(mean, Prepare, cells<MeanColumn>)
ENTRY(background, Prepare, background)
ENTRY(levels, Prepare, levels)
ENTRY(clear, Prepare, clear)
ENTRY(count, Prepare, count)
ENTRY(accumulate, Prepare, accumulate)
ENTRY(ranks, Prepare, ranks)
