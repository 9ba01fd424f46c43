"""Shared by the benchmarks of this folder: the programs that are timed, each on the same cores; the machine; tables."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# The environment variable DGC names another program than the one that is built here.
DGC = pathlib.Path(os.environ.get("DGC", ROOT / "target" / "release" / "dgc")).resolve()
# The interpreter that has the peers' libraries, and the folder with the ADGM in JAX and PyTorch.
PYTHON = os.environ.get("PYTHON", sys.executable)
PEERS = pathlib.Path(os.environ.get("PEERS", ROOT / ".." / "shared" / "bench")).resolve()
CORES = sorted(os.sched_getaffinity(0))


def fail(message):
    sys.exit(f"error: {message}")


def note(message):
    print(f"note: {message}", file=sys.stderr, flush=True)


def build():
    """Builds dgc, unless DGC names one."""
    if "DGC" not in os.environ and subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT).returncode != 0:
        fail("dgc could not be built")


def add_common_options(arguments):
    """The options of every benchmark on the CPU."""
    arguments.add_argument("--steps", type=int, default=int(os.environ.get("STEPS", 30)), help="timed steps [default: STEPS, or 30]")
    arguments.add_argument("--threads", type=int, default=len(CORES), help="cores and threads of every program [default: all]")
    arguments.add_argument("--json", metavar="FILE", help="also append each measurement to this file, one JSON object a line")


def comma_separated(values):
    """An argument type: some of these values, separated by commas."""

    def parse(text):
        parts = text.split(",")
        unknown = [part for part in parts if part not in values]
        if unknown:
            raise ValueError(unknown[0])
        return parts

    parse.__name__ = f"list of {', '.join(values)}"
    return parse


def environment(threads, **more):
    """The environment in which OpenMP, MKL and XLA start so many threads."""
    count = str(threads)
    pools = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "PJRT_NPROC", "THREADS"]
    return {**os.environ, **dict.fromkeys(pools, count), **{name: str(value) for name, value in more.items()}}


def output(command, threads, timeout=None, **more):
    """The output of a command that may use the first `threads` cores only, so that every program has equally many; None if it failed."""
    cores = CORES[:threads]
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            env=environment(threads, **more),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
        )
    except FileNotFoundError:
        sys.exit(f"error: {command[0]}: there is no such program; PYTHON names an interpreter, and DGC dgc's program")
    except subprocess.TimeoutExpired:
        note(f"{pathlib.Path(command[1]).name} was stopped after {timeout:.0f} s")
        return None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        note(f"{' '.join(map(str, command))}: {lines[-1]}")
        return None
    return done.stdout


def dgc_bench(model, threads, steps, settings=(), precision="f32", device="cpu", more=()):
    """What `dgc bench --json` measures, or None if it failed."""
    command = [DGC, "bench", model, "--json", "--device", device, "--precision", precision, "--steps", steps, *more]
    command += ["--threads", threads] if device == "cpu" else []
    for setting in settings:
        command += ["--set", setting]
    text = output(command, threads)
    return json.loads(text) if text else None


def has_modules(*names):
    """Whether PYTHON has these modules."""
    test = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {names!r})))"
    return subprocess.run([PYTHON, "-c", test]).returncode == 0


def milliseconds(text):
    """The time that a peer prints last; None without one."""
    found = re.findall(r"([0-9.]+) ms/step", text or "")
    return float(found[-1]) if found else None


class Peers:
    """The ADGM's step in JAX and PyTorch. What is missing is noted once and has no time."""

    JAX = "JAX"
    EAGER = "PyTorch eager"
    COMPILED = "PyTorch compiled"
    SHORT = {"jax": JAX, "eager": EAGER, "compiled": COMPILED}

    def __init__(self, names):
        self.names = [self.SHORT[name] for name in names]
        self.missing = set()
        for script, modules in [("adgm_jax.py", ("jax", "optax")), ("adgm_torch.py", ("torch",))]:
            reason = None
            if not (PEERS / script).exists():
                reason = f"{PEERS / script} is missing; PEERS names its folder"
            elif not has_modules(*modules):
                reason = f"{PYTHON} has no {' and '.join(modules)}; PYTHON names another interpreter"
            if reason:
                note(reason)
                self.missing.add(script)

    def step(self, name, threads, steps, samples=1, norm=True, precision="f32", rows=100, hidden=500, classes=10, device="cpu", timeout=None):
        """Milliseconds of a step of a peer, or None."""
        is_jax = name == self.JAX
        script = "adgm_jax.py" if is_jax else "adgm_torch.py"
        if script in self.missing:
            return None
        arguments = ["--mc", samples, "--bs", rows, "--hidden", hidden, "--iters", steps] + (["--bn"] if norm else [])
        if is_jax:
            arguments += ["--dtype", "bf16" if precision == "bf16" else "f32"]
        else:
            graph = "-graph" if device == "cuda" and name == self.COMPILED else ""
            mode = "hoisted" + ("-compile" if name == self.COMPILED else "") + ("-bf16" if precision == "bf16" else "") + graph
            arguments += ["--modes", mode]
        command = [PYTHON, HERE / "peer.py", PEERS / script, *arguments]
        return milliseconds(output(command, threads, timeout, DEVICE=device, PRECISION=precision, CLASSES=classes))


def processor():
    """The processor's name, its vector instructions, caches and load."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: (re.findall(rf"^{name}\s*: (.*)$", info, re.M) or ["unknown"])[0]
    flags = field("flags").split()
    wanted = {"fma": "FMA", "avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}
    caches = []
    for level in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        read = lambda name: (level / name).read_text().strip()
        if read("type") != "Instruction":
            caches.append(f"L{read('level')} {read('size')}")
    return {
        "processor": f"{field('model name')}, family {field('cpu family')}, model {field('model')}, stepping {field('stepping')}",
        "instructions": ", ".join(name if flag in flags else f"no {name}" for flag, name in wanted.items()),
        "caches": ", ".join(caches) or "unknown",
        "cores": len(CORES),
        "load": os.getloadavg()[0],
    }


def peaks(threads):
    """Measured peaks on so many cores, by name; empty without torch or a C compiler."""
    text = output([PYTHON, HERE / "peaks.py"], threads)
    return json.loads(text) if text else {}


def print_machine(threads, with_peaks=True):
    """Prints the machine and returns its peaks."""
    found = processor()
    print(f"- processor: {found['processor']}; {found['cores']} cores, of which each program uses {threads}")
    print(f"- instructions: {found['instructions']}; caches: {found['caches']}")
    print(f"- load before: {found['load']:.2f}")
    if found["load"] > 0.3:
        note("the machine is not at rest: only the ratios count, and they are uncertain")
    measured = peaks(threads) if with_peaks else {}
    for name, (value, unit) in measured.items():
        print(f"- measured peak, {name}: {value:.0f} {unit}")
    print(flush=True)
    return measured


def products(model, settings=()):
    """The floating-point operations of the contractions of a training step, counted by dgc's plan; a multiply-add is two."""
    command = [DGC, "compile", model, "--report", "--json"]
    for setting in settings:
        command += ["--set", setting]
    text = output(command, len(CORES))
    return sum(program["total"]["products"] for program in json.loads(text)["programs"] if program["name"] in ("gradient", "update")) if text else 0


def table(heading, rows):
    """A Markdown table. Cells are texts; a cell that is None has no value."""
    cells = lambda row: "| " + " | ".join("–" if cell is None else str(cell) for cell in row) + " |"
    print("\n".join([cells(heading), cells(["---"] * len(heading)), *map(cells, rows)]), flush=True)


def ratio(peer, dgc):
    """The peer's time as a multiple of dgc's."""
    return None if peer is None or not dgc else f"{peer / dgc:.2f}"


def spread(times):
    """The median of some times, and their range."""
    return f"{statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f})"


def number(value, digits=1):
    return None if value is None else f"{value:.{digits}f}"


def record(path, **measurement):
    """Appends a measurement to a file."""
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(measurement) + "\n")



def has_program(name):
    """Whether a command of this name can be found."""
    return shutil.which(name) is not None
