"""Shared by the commands of this folder: paths, and reading and writing rows."""
import contextlib
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROWS = HERE / "rows.jsonl"
RUNS = ROOT / "runs" / "results"
# The environment variable DGC names another program than the one that is built here.
DGC = pathlib.Path(os.environ.get("DGC", ROOT / "target" / "release" / "dgc")).resolve()

# Rows that agree in KEY are of the same run: the later one replaces the earlier. Rows that agree in LINE share a line of the table.
LINE = ["name", "model", "data", "labels", "validation", "part", "settings"]
KEY = LINE + ["seed"]


def models():
    """The title of each model and the values that others published."""
    return json.loads((HERE / "models.json").read_text())


def read_rows(path=ROWS):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(row, names=KEY):
    return json.dumps([row.get(name) for name in names])


def add_row(row, path=ROWS):
    """Adds a row, or replaces the row of the same run. The file is replaced whole, under a lock, so concurrent writers keep their rows."""
    with held(path.parent):
        kept = [known for known in read_rows(path) if key(known) != key(row)]
        rows = sorted(kept + [row], key=lambda row: (row["name"], key(row, LINE), row["seed"]))
        write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def build():
    """Builds dgc, unless DGC names one."""
    if "DGC" not in os.environ and subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT).returncode != 0:
        sys.exit("error: dgc could not be built")


@contextlib.contextmanager
def held(folder):
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def write_whole(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
