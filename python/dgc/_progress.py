"""The progress of training: a bar of tqdm, or lines."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


class Silent:
    """Shows nothing."""

    def step(self, step: int, steps: int, bounds: list[tuple[str, float]]) -> None:
        pass

    def epoch(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Silent):
    """Prints a line for each epoch."""

    def epoch(self, line: str) -> None:
        print(line, flush=True)


class Bar(Silent):
    """A bar of tqdm over the steps, with the bounds behind it."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm = tqdm
        self.bar: Any = None

    def step(self, step: int, steps: int, bounds: list[tuple[str, float]]) -> None:
        if self.bar is None:
            self.bar = self.tqdm(total=steps, unit="step")
        if bounds:
            self.bar.set_postfix({name: f"{bound:.2f}" for name, bound in bounds}, refresh=False)
        self.bar.update(step - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def bar(progress: bool | None) -> Silent:
    """What shows the progress; ``None`` is a bar in notebooks and nothing elsewhere."""
    if progress is False or progress is None and not in_notebook():
        return Silent()
    if find_spec("tqdm") is None:
        return Lines()
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return Bar(tqdm)


def in_notebook() -> bool:
    """Whether the process is the kernel of a notebook."""
    try:
        shell = get_ipython()  # type: ignore[name-defined]
    except NameError:
        return False
    return bool(shell.__class__.__name__ == "ZMQInteractiveShell")
