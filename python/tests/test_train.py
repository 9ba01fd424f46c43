"""Training on arrays, and what a run computes."""

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import dgc
import numpy as np
import pytest
from conftest import M2, VAE, clusters


def parameters(folder):
    """The bytes of each array of a run's checkpoint."""
    data = Path(folder, "checkpoint.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    places = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: data[8 + length + a : 8 + length + b] for name, (a, b) in places.items()}


def program(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "dgc", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_a_run_predicts_held_out_rows(run):
    x, _, truth = clusters(seed=1)
    probabilities = run.predict_proba({"x": x})
    assert probabilities.shape == (300, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    predicted = run.predict({"x": x})
    assert (predicted == probabilities.argmax(axis=1)).all()
    assert (predicted == truth).mean() > 0.95
    scores = run.evaluate({"x": x, "y": truth})
    assert scores["error of y"] == pytest.approx((predicted != truth).mean())
    assert "error of y" in str(scores) and str(scores).startswith("300 rows")


def test_shapes_of_results(run):
    x, _, _ = clusters(rows=7)
    rows = {"x": x}
    assert run.encode(rows).shape == (7, 2)
    assert run.reconstruct(rows).shape == (7, 4)
    assert run.score(rows).shape == (7,)
    assert run.log_likelihood(rows) == pytest.approx(run.score(rows).mean(), rel=1e-5)
    drawn = run.sample(5)
    assert drawn["x"].shape == (5, 4) or drawn["x"].shape == (15, 4)
    assert len(drawn["x"]) == len(drawn["y"])
    chosen = run.sample(5, given={"y": 1})
    assert chosen["x"].shape == (5, 4) and (chosen["y"] == 1).all()
    with pytest.raises(KeyError, match="no latent `w`"):
        run.encode(rows, "w")


def test_the_same_seed_gives_the_same_bits_as_the_program(tmp_path, data):
    arrays = {"x": data["x"], "y": data["y"]}
    np.savez(tmp_path / "data.npz", **arrays)
    (tmp_path / "m2.dgm").write_text(M2)
    done = program(
        *"train m2.dgm --data data.npz --seed 3 --epochs 4 --validation 20 -o run".split(),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    run = dgc.train(M2, arrays, seed=3, epochs=4, validation=20, out=tmp_path / "python")
    assert parameters(tmp_path / "run") == parameters(run)
    other = dgc.train(M2, arrays, seed=4, epochs=4, validation=20)
    assert parameters(tmp_path / "run") != parameters(other)
    # The program uses the run of the package, and finds the same numbers.
    predict = "predict python --data data.npz --part train -o p.npz".split()
    done = program(*predict, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = np.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(table["probabilities of y"], run.predict_proba(arrays))


def test_types_and_layouts_give_the_same_bits(data):
    x, y = data["x"], data["y"]
    wanted = parameters(dgc.train(M2, {"x": x, "y": y}, epochs=2))
    for other in (
        {"x": x.astype(np.float64), "y": y.astype(np.int8)},
        {"x": np.asfortranarray(x), "y": y.astype(np.float32)},
        {"x": np.repeat(x, 2, axis=0)[::2], "y": np.stack([y, y], axis=1)[:, 0]},
        {"x": x.astype(">f4"), "y": list(map(int, y))},
    ):
        assert parameters(dgc.train(M2, other, epochs=2)) == wanted


COPIES = """
import os, sys, dgc, numpy as np
sys.path.insert(0, sys.argv[1])
from conftest import VAE

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

x = np.zeros((500_000, 64), dtype=np.float32)
x[:, 0] = np.linspace(-1, 1, len(x))
dgc.train(VAE, {"x": x[:1000]}, epochs=1)
before, most = resident(), []
dgc.train(VAE, {"x": x}, epochs=1, settings={"batch": 2000}, callback=lambda _: most.append(resident()))
print(x.nbytes, most[0] - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_arrays_are_not_copied():
    command = [sys.executable, "-c", COPIES, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    size, growth = map(int, found.split())
    assert growth < size / 4, f"{growth} bytes beside an array of {size}"


def test_a_run_survives_its_arrays():
    def begin():
        x, y, _ = clusters()
        return dgc.train(M2, {"x": x, "y": y}, epochs=1)

    assert begin().metrics[0]["epoch"] == 1


def test_sparse_matrices(data):
    sparse = pytest.importorskip("scipy.sparse")
    x = np.where(np.abs(data["x"]) > 1, data["x"], 0).astype(np.float32)
    dense = dgc.train(VAE, {"x": x}, epochs=2)
    for matrix in (sparse.csr_matrix(x), sparse.csc_array(x), sparse.coo_array(x)):
        run = dgc.train(VAE, {"x": matrix}, epochs=2)
        assert parameters(run) == parameters(dense)
        np.testing.assert_array_equal(run.encode({"x": matrix}), dense.encode({"x": x}))


def test_mistakes_are_errors_with_a_way_out(data):
    with pytest.raises(dgc.Error, match="expected an array `x`, found none") as caught:
        dgc.train(M2, {"X": data["x"]}, settings={"features": 4})
    assert caught.value.kind == "data"
    assert caught.value.help == "available: `X`"
    assert isinstance(caught.value, ValueError)
    with pytest.raises(dgc.Error, match="does not say the size `features`"):
        dgc.train(M2, {"X": data["x"]})
    with pytest.raises(dgc.Error, match="found 3, and 299 more such rows"):
        dgc.train(M2, {"x": data["x"], "y": np.full(300, 3)})
    with pytest.raises(dgc.Error, match="has 300 rows, but `y` has 2"):
        dgc.train(M2, {"x": data["x"], "y": np.zeros(2)})
    with pytest.raises(dgc.Error, match="the devices are auto, cpu and cuda"):
        dgc.train(M2, data, device="tpu")
    with pytest.raises(dgc.Error, match="validation"):
        dgc.train(M2, data, validation=1.5)
    with pytest.raises(TypeError, match="expected numbers"):
        dgc.train(VAE, {"x": data["x"].astype(np.complex64)})
    with pytest.raises(TypeError, match="expected a dict of arrays"):
        dgc.train(VAE, data["x"])
    with pytest.raises(dgc.Error, match="mistakes") as caught:
        dgc.Model(M2.replace("y: class[3]", "y: klass[3]"))
    assert "klass" in str(caught.value) and caught.value.kind == "model"


def test_a_callback_sees_epochs_and_stops(data):
    seen = []
    run = dgc.train(VAE, {"x": data["x"]}, epochs=9, callback=lambda epoch: seen.append(epoch))
    assert [epoch["epoch"] for epoch in seen] == list(range(1, 10)) and len(run.metrics) == 9

    def stop(epoch):
        return epoch["epoch"] == 3

    assert len(dgc.train(VAE, {"x": data["x"]}, epochs=9, callback=stop).metrics) == 3


def test_an_error_of_the_callback_keeps_the_checkpoint(tmp_path, data):
    def fail(epoch):
        if epoch["epoch"] == 2:
            raise RuntimeError("enough")

    out = tmp_path / "run"
    arrays = {"x": data["x"]}
    with pytest.raises(RuntimeError, match="enough"):
        dgc.train(VAE, arrays, epochs=4, out=out, callback=fail)
    resumed = dgc.resume(out, data=arrays)
    whole = dgc.train(VAE, arrays, epochs=4)
    assert parameters(out) == parameters(whole) and len(resumed.metrics) == 4


INTERRUPTED = """
import sys, dgc, numpy as np
sys.path.insert(0, sys.argv[2])
from conftest import VAE
x = np.random.default_rng(0).normal(size=(2000, 4)).astype("float32")
try:
    dgc.train(VAE, {"x": x}, epochs=1_000_000, out=sys.argv[1], callback=lambda epoch: print("epoch", flush=True))
except KeyboardInterrupt:
    print("interrupted", dgc.load(sys.argv[1]).metrics[-1]["epoch"])
"""


def test_ctrl_c_stops_after_the_step_and_keeps_the_checkpoint(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-c", INTERRUPTED, str(out), str(Path(__file__).parent)]
    training = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert training.stdout.readline() == "epoch\n"
    training.send_signal(signal.SIGINT)
    rest = training.communicate(timeout=60)[0].splitlines()
    assert training.returncode == 0 and rest[-1].startswith("interrupted")


def test_the_program_stops_with_code_130(tmp_path, data):
    np.savez(tmp_path / "data.npz", x=data["x"])
    (tmp_path / "vae.dgm").write_text(VAE)
    arguments = "train vae.dgm --data data.npz --epochs 1000000 -o run".split()
    training = subprocess.Popen(
        [sys.executable, "-m", "dgc", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        time.sleep(0.05)
        assert training.poll() is None
    training.send_signal(signal.SIGINT)
    _, errors = training.communicate(timeout=60)
    assert training.returncode == 130 and "resume with: dgc train run --resume" in errors


def test_the_program_has_the_codes_of_dgc(tmp_path):
    assert program("--version", cwd=tmp_path).stdout == f"dgc {dgc.__version__}\n"
    assert program("nonsense", cwd=tmp_path).returncode == 2
    missing = program("check", "nowhere.dgm", cwd=tmp_path)
    assert missing.returncode == 3 and missing.stderr.startswith("error: nowhere.dgm")


def test_other_threads_run_during_training(data):
    import threading

    counts = []
    stop = threading.Event()

    def count():
        while not stop.is_set():
            counts.append(time.monotonic())
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    begun = time.monotonic()
    dgc.train(VAE, {"x": np.repeat(data["x"], 20, axis=0)}, epochs=20, threads=1)
    ended = time.monotonic()
    stop.set()
    counter.join()
    during = sum(begun < at < ended for at in counts)
    assert during > 100 * (ended - begun), (during, ended - begun)


def test_saving_loading_and_pickling(tmp_path, run):
    x, _, _ = clusters(seed=2)
    wanted = run.predict_proba({"x": x})
    saved = run.save(tmp_path / "copy")
    np.testing.assert_array_equal(saved.predict_proba({"x": x}), wanted)
    np.testing.assert_array_equal(dgc.load(tmp_path / "copy").predict_proba({"x": x}), wanted)
    with pytest.raises(FileExistsError):
        run.save(tmp_path / "copy")
    copy = pickle.loads(pickle.dumps(run))
    assert copy.folder != run.folder
    np.testing.assert_array_equal(copy.predict_proba({"x": x}), wanted)
    folder = copy.folder
    del copy
    assert not folder.exists() and run.folder.exists()


def test_a_forked_process_uses_a_run(run):
    x, _, _ = clusters(seed=2)
    wanted = run.predict({"x": x})
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        same = (run.predict({"x": x}) == wanted).all()
        os.write(write, b"1" if same else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    assert run.folder.exists()


def test_other_samples_and_seeds(run):
    x, _, _ = clusters(rows=20)
    first = run.score({"x": x})
    np.testing.assert_array_equal(first, run.score({"x": x}))
    assert (run.using(seed=1).score({"x": x}) != first).any()
    assert (run.using(samples=100).score({"x": x}) != first).any()


def test_calibration_is_kept(tmp_path, data):
    rows = {"x": data["x"], "y": data["y"]}
    run = dgc.train(M2, rows, epochs=3, out=tmp_path / "run")
    x, _, truth = clusters(rows=500, seed=9)
    before = run.predict_proba({"x": x})
    found = run.calibrate({"x": x, "y": truth})
    assert "y" in str(found)
    after = run.predict_proba({"x": x})
    assert (after != before).any() and (after.argmax(1) == before.argmax(1)).all()
    np.testing.assert_array_equal(dgc.load(tmp_path / "run").predict_proba({"x": x}), after)
    plain = run.using(calibrated=False).predict_proba({"x": x})
    np.testing.assert_array_equal(plain, before)
    with pytest.raises(dgc.Error, match="expected rows with the label `y`"):
        run.calibrate({"x": x})


def test_held_out_rows_as_arrays(data):
    rows = {"x": data["x"], "y": data["y"]}
    x, _, truth = clusters(seed=5)
    run = dgc.train(M2, rows, validation={"x": x, "y": truth}, patience=50, epochs=3)
    assert "validation" in run.metrics[-1]
    test = {**rows, "test.x": x, "test.y": truth}
    assert dgc.train(M2, test, epochs=3).metrics[-1]["test"]["error"] < 0.2


def test_missing_values_are_imputed(data):
    model = VAE.replace("x: real[features]", "x: real[features] with missing")
    x = data["x"].copy()
    x[::3, 1] = np.nan
    run = dgc.train(model, {"x": x}, epochs=20)
    filled = run.impute({"x": x})
    observed = ~np.isnan(x)
    np.testing.assert_array_equal(filled[observed], x[observed])
    assert np.isfinite(filled).all()
    with pytest.raises(dgc.Error, match="with missing"):
        dgc.train(VAE, {"x": x})
