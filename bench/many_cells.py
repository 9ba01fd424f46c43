"""Makes large data sets of counts for models/cells.dgm, as sparse matrices: cells.npz, not compressed, and cells.h5ad, with gzip.

    pip install h5py==3.16.0 numpy==2.4.6
    python bench/many_cells.py FOLDER --rows 1000000 --genes 2000

One in twenty counts is above 0. A cell has one of ten types, which changes the rates of some genes; one type in ten is unknown. Both
files have the same numbers: counts [cell, gene], library [cell], the counts' sum, and cell_type. Rows are made and written in blocks, so
that the script needs little memory. --npz and --h5ad make one file alone.
"""

import argparse
import pathlib
import shutil
import tempfile
import zipfile

import h5py
import numpy as np

BLOCK = 20_000
TYPES = 10
SHARE = 0.05


def block(first, rows, genes):
    """The counts of some rows as CSR (data, indices, entries per row), their sums and their types."""
    random = np.random.default_rng(first)
    types = random.integers(0, TYPES, rows)
    # Each type doubles the share of its own tenth of the genes.
    own = np.arange(genes) * TYPES // genes
    share = SHARE * TYPES / (TYPES + 1)
    shares = np.float32(share) * (1 + (types[:, None] == own[None, :])).astype(np.float32)
    present = random.random((rows, genes), dtype=np.float32) < shares
    present[np.arange(rows), random.integers(0, genes, rows)] = True
    row, column = np.nonzero(present)
    counts = random.geometric(0.5, len(row)).astype(np.float32)
    sums = np.bincount(row, weights=counts, minlength=rows).astype(np.float32)
    types[random.random(rows) < 0.1] = -1
    return counts, column.astype(np.int32), present.sum(axis=1), sums, types


def npy_header(kind, shape):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--npz", action="store_true", help="only cells.npz")
    parser.add_argument("--h5ad", action="store_true", help="only cells.h5ad")
    arguments = parser.parse_args()
    rows, genes, folder = arguments.rows, arguments.genes, arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    starts, sums, types = [np.zeros(1, np.int64)], [], []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        paths = {name: pathlib.Path(temporary, name) for name in ("data", "indices")}
        with open(paths["data"], "wb") as data, open(paths["indices"], "wb") as indices:
            for first in range(0, rows, BLOCK):
                counts, columns, entries, block_sums, block_types = block(first, min(BLOCK, rows - first), genes)
                data.write(counts.tobytes())
                indices.write(columns.tobytes())
                starts.append(starts[-1][-1] + np.cumsum(entries))
                sums.append(block_sums)
                types.append(block_types)
        starts, sums, types = np.concatenate(starts), np.concatenate(sums), np.concatenate(types)
        entries = int(starts[-1])
        if not arguments.h5ad:
            write_npz(folder / "cells.npz", paths, entries, starts, sums, types, (rows, genes))
        if not arguments.npz:
            write_h5ad(folder / "cells.h5ad", paths, entries, starts, sums, types, (rows, genes))
    print(f"{folder}: {rows} rows of {genes} genes, {entries} entries")


def write_npz(path, paths, entries, starts, sums, types, shape):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, kind in (("data", "<f4"), ("indices", "<i4")):
            with archive.open(f"counts.{name}.npy", "w", force_zip64=True) as member, open(paths[name], "rb") as raw:
                member.write(npy_header(kind, (entries,)))
                shutil.copyfileobj(raw, member, 1 << 22)
        arrays = {"counts.indptr": starts, "counts.shape": np.array(shape), "library": sums, "cell_type": types}
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array)


def write_h5ad(path, paths, entries, starts, sums, types, shape):
    """AnnData's format 0.1.0: https://anndata.readthedocs.io/en/stable/fileformat-prose.html"""
    with h5py.File(path, "w") as file:
        encode(file, "anndata", "0.1.0")
        matrix = file.create_group("X")
        encode(matrix, "csr_matrix", "0.1.0")
        matrix.attrs["shape"] = shape
        for name, kind in (("data", "<f4"), ("indices", "<i4")):
            # h5py's own choice of chunks, as anndata leaves it.
            part = matrix.create_dataset(name, (entries,), kind, compression="gzip", compression_opts=4, chunks=True)
            numbers = np.memmap(paths[name], kind, "r")
            step = part.chunks[0] * 1000
            for first in range(0, entries, step):
                part[first : first + step] = numbers[first : first + step]
        matrix.create_dataset("indptr", data=starts, compression="gzip")
        for name, count in (("obs", shape[0]), ("var", shape[1])):
            frame = file.create_group(name)
            encode(frame, "dataframe", "0.2.0")
            frame.attrs["_index"] = "_index"
            frame.attrs["column-order"] = np.array(["library", "cell_type"] if name == "obs" else [], dtype=h5py.string_dtype())
            index = frame.create_dataset("_index", data=np.array([f"{name}{at}" for at in range(count)], dtype="S12"))
            encode(index, "string-array", "0.2.0")
        encode(file["obs"].create_dataset("library", data=sums), "array", "0.2.0")
        group = file["obs"].create_group("cell_type")
        encode(group, "categorical", "0.2.0")
        group.attrs["ordered"] = False
        encode(group.create_dataset("codes", data=types.astype(np.int8)), "array", "0.2.0")
        names = np.array([f"type {at}" for at in range(TYPES)], dtype=h5py.string_dtype())
        encode(group.create_dataset("categories", data=names), "string-array", "0.2.0")


def encode(item, kind, version):
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version


main()
