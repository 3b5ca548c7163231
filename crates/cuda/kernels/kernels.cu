// All kernels, as one module.

#include "network.cu"
#include "preparation.cu"
