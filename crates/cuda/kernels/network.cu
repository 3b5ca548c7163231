// Entry points of the network.

#include "head.cuh"
#include "separable.cuh"
#include "stem.cuh"

#include "entry.cuh"

ENTRY(stem_1, Stem, stem<1>)
ENTRY(stem_2, Stem, stem<2>)
ENTRY(stem_3, Stem, stem<3>)
ENTRY(stem_4, Stem, stem<4>)
ENTRY(separable_1, Separable, separable<1>)
ENTRY(separable_2, Separable, separable<2>)
ENTRY(head, Head, head)
