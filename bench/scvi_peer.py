"""Synthetic single cells, and the rate at which scvi-tools trains on them; bench/single_cells calls it.

    scvi_peer.py make FILE --cells 20000 --genes 2000 --types 10      # writes counts, library and cell_type for dgc
    scvi_peer.py time FILE --model scanvi --steps 100                 # prints JSON

The counts are drawn from negative binomials: each type has its own mean for each gene, each cell its own depth. One cell in ten has a
label. scvi-tools has the sizes of its defaults, a negative binomial, minibatches of 128 and no held-out cells. THREADS is the number of
threads. The first steps, which are slower, do not count."""
import argparse
import json
import os
import sys
import time
import warnings

import numpy

WARM_UP = 10
BATCH = 128


def make(given):
    random = numpy.random.default_rng(0)
    means = random.gamma(0.3, 1 / 0.3, (given.types, given.genes)) * random.lognormal(0, 0.5, given.genes)
    types = random.integers(0, given.types, given.cells).astype(numpy.int32)
    counts = numpy.empty((given.cells, given.genes), numpy.uint16)
    # In parts, since the draws take eight bytes a count.
    for begin in range(0, given.cells, 4096):
        of = types[begin : begin + 4096]
        depth = random.lognormal(-0.5, 0.4, (len(of), 1))
        counts[begin : begin + 4096] = random.poisson(random.gamma(2, 0.5, (len(of), given.genes)) * depth * means[of])
    library = numpy.maximum(counts.sum(1, dtype=numpy.int64), 1).astype(numpy.float32)
    labels = numpy.where(numpy.arange(given.cells) % 10 == 0, types, -1).astype(numpy.int32)
    numpy.savez(given.file, counts=counts, library=library, cell_type=labels)
    print(f"{given.cells} cells, {given.genes} genes, mean count {counts[:1000].mean():.2f}, {100 * (counts[:1000] == 0).mean():.0f} % zeros")


def timed(given):
    warnings.filterwarnings("ignore")
    import anndata
    import lightning.pytorch
    import torch

    # scvi-tools' models in JAX are not timed, and need other versions of JAX and flax than the ADGM's step.
    hidden = ["jax", "flax", "optax", "numpyro"]
    sys.modules.update(dict.fromkeys(hidden))
    import scvi

    for name in hidden:
        del sys.modules[name]

    threads = int(os.environ.get("THREADS", os.cpu_count()))
    torch.set_num_threads(threads)
    scvi.settings.num_threads = threads
    scvi.settings.seed = 0
    scvi.settings.verbosity = 40

    class Clock(lightning.pytorch.Callback):
        """The times at which steps end."""

        def __init__(self):
            self.ends = []

        def on_train_batch_end(self, *_):
            self.ends.append(time.perf_counter())

    arrays = numpy.load(given.file)
    labels = arrays["cell_type"]
    data = anndata.AnnData(arrays["counts"].astype(numpy.float32))
    data.obs["cell_type"] = numpy.where(labels < 0, "unknown", labels.astype(str))
    if given.model == "scanvi":
        scvi.model.SCANVI.setup_anndata(data, labels_key="cell_type", unlabeled_category="unknown")
        model = scvi.model.SCANVI(data, gene_likelihood="nb")
    else:
        scvi.model.SCVI.setup_anndata(data)
        model = scvi.model.SCVI(data, gene_likelihood="nb")
    # These networks are built, and no number that is trained depends on them.
    unused = ("l_encoder", "px_r_decoder", "px_dropout_decoder")
    of_graph = lambda name: not any(part in unused for part in name.split("."))
    parameters = sum(p.numel() for name, p in model.module.named_parameters() if p.requires_grad and of_graph(name))
    clock = Clock()
    model.train(
        max_epochs=1_000,
        max_steps=WARM_UP + given.steps,
        batch_size=BATCH,
        train_size=1.0,
        accelerator="cpu",
        devices=1,
        callbacks=[clock],
        enable_progress_bar=False,
        logger=False,
        enable_checkpointing=False,
        plan_kwargs={"compile": True} if given.compiled else None,
    )
    ends = numpy.array(clock.ends)
    steps = numpy.diff(ends[WARM_UP - 1 :])
    result = {"cells_per_second": BATCH * len(steps) / (ends[-1] - ends[WARM_UP - 1]), "median_step": float(numpy.median(steps)), "steps": len(steps)}
    print(json.dumps({**result, "parameters": parameters, "threads": torch.get_num_threads(), "version": scvi.__version__}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("make")
    command.add_argument("file")
    for name in ("cells", "genes", "types"):
        command.add_argument(f"--{name}", type=int, required=True)
    command = commands.add_parser("time")
    command.add_argument("file")
    command.add_argument("--model", choices=["scvi", "scanvi"], required=True)
    command.add_argument("--steps", type=int, default=100)
    command.add_argument("--compiled", action="store_true", help="with torch.compile")
    given = parser.parse_args()
    make(given) if given.command == "make" else timed(given)


if __name__ == "__main__":
    main()
