"""Makes the small HDF5 files beside this script. Needs h5py, hdf5plugin and numpy.

Every image is 24 rows of 37 columns, so that neither a bitshuffle block nor a group of eight values
ends with it, and pixel i of frame f is value(f, i): the tests compute the same numbers.
"""

import h5py
import hdf5plugin
import numpy as np

ROWS, COLUMNS = 24, 37


def value(frame):
    index = np.arange(ROWS * COLUMNS, dtype=np.uint64)
    return ((index * 2654435761 + frame * 40503) >> 7) % 1021


def stack(frames, dtype):
    return np.stack([value(f).reshape(ROWS, COLUMNS) for f in range(frames)]).astype(dtype)


def images(name, data, path="/entry/data/data", **how):
    with h5py.File(name, "w", libver=("earliest", "v110")) as file:
        chunks = (1, *data.shape[1:]) if how else None
        file.create_dataset(path, data=data, chunks=chunks, **how)


def detector(file):
    group = file.create_group("/entry/instrument/detector")
    group["description"] = "Dectris EIGER2 Si 16M"
    group["beam_center_x"] = np.float32(18.5)
    group["beam_center_y"] = np.float32(11.25)
    group["detector_distance"] = np.float32(0.15)
    group["detector_distance"].attrs["units"] = "m"
    group["x_pixel_size"] = np.float64(7.5e-05)
    group["y_pixel_size"] = np.float64(7.5e-05)
    group["saturation_value"] = np.uint32(60000)
    mask = np.zeros((ROWS, COLUMNS), np.uint32)
    mask[3, 4] = 1
    mask[23, 36] = 8
    group["pixel_mask"] = mask
    file["/entry/instrument/beam/incident_wavelength"] = 0.9763


data = stack(5, np.uint16)
images("eiger_data_000001.h5", data[:3], **hdf5plugin.Bitshuffle(nelems=64, cname="lz4"))
images("eiger_data_000002.h5", data[3:], **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))
with h5py.File("eiger_master.h5", "w", libver=("earliest", "v110")) as file:
    detector(file)
    for part in (1, 2):
        name = f"data_{part:06}"
        # An absolute path, as acquisition computers write it.
        file[f"/entry/data/{name}"] = h5py.ExternalLink(f"/ramdisk/eiger_{name}.h5", "/entry/data/data")

layout = h5py.VirtualLayout(shape=(3, ROWS, COLUMNS), dtype=np.uint16)
layout[:] = h5py.VirtualSource("eiger_data_000001.h5", "/entry/data/data", shape=(3, ROWS, COLUMNS))
with h5py.File("virtual.h5", "w", libver=("earliest", "v110")) as file:
    file.create_virtual_dataset("/entry/data/data", layout)

with h5py.File("kinds.h5", "w", libver=("earliest", "v110")) as file:
    group = file.create_group("images")
    chunks = {"chunks": (1, ROWS, COLUMNS)}
    group.create_dataset("bitshuffle", data=stack(2, np.uint32), **chunks, **hdf5plugin.Bitshuffle(cname="none"))
    group.create_dataset("bitshuffle_lz4", data=stack(2, np.int32), **chunks, **hdf5plugin.Bitshuffle(cname="lz4"))
    group.create_dataset("bitshuffle_zstd", data=stack(2, np.int32), **chunks, **hdf5plugin.Bitshuffle(cname="zstd"))
    group.create_dataset("lz4", data=stack(2, np.int16), **chunks, **hdf5plugin.LZ4(nbytes=100))
    group.create_dataset("deflate", data=stack(2, np.float32), **chunks, compression="gzip", shuffle=True)
    group.create_dataset("bytes", data=stack(2, np.uint8), chunks=(2, 10, 10))
    group.create_dataset("big_endian", data=stack(1, ">u2"))
    group.create_dataset("doubles", data=stack(1, np.float64))
    group.create_dataset("cube", data=np.zeros((2, 2, 2, 2), np.uint16))
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[0, 5] = True
    group.create_dataset("mask", data=mask)

# The layout of CXIDB entry 76: keys that h5py sorts, two active areas, millimetres and ångström.
with h5py.File("idh5.h5", "w", libver=("earliest", "v110")) as file:
    file["metadata/idh5_version"] = "idh5_v1.0"
    file["metadata/BEAM_CENTER_X"] = 2.035
    file["metadata/BEAM_CENTER_Y"] = 1.265
    file["metadata/PIXEL_SIZE"] = 0.11
    file["metadata/SIZE1"], file["metadata/SIZE2"] = COLUMNS, ROWS
    file["metadata/MIN_TRUSTED_VALUE"], file["metadata/SATURATED_VALUE"] = -10, 10000
    file["metadata/ACTIVE_AREAS"] = np.array([0, 0, 24, 18, 0, 19, 24, 37], np.int64)
    for key, frames in (("r0027_chunk_b", [2]), ("r0027_chunk_a", [0, 1])):
        group = file.create_group(f"data/{key}")
        group["images"] = stack(3, np.int32)[frames]
        group["distance"] = np.array([105.5 + f for f in frames])
        group["wavelength"] = np.array([1.3 + f / 100 for f in frames])
        group["timestamp"] = np.array([f"2015-01-01T00:00Z00.{f:03}" for f in frames], "S32")
