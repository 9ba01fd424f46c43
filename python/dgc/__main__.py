"""The program ``dgc``: ``python -m dgc`` and the script ``dgc``."""

from __future__ import annotations

import sys

from . import _dgc


def main() -> int:
    """Run the program with the process's arguments; returns its exit code."""
    return _dgc.main(["dgc", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
