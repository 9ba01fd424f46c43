"""Writes digits of the bundled MNIST excerpt as PNG files, for the tutorial images.md.

    python3 docs/tutorials/digits.py

In the current folder, `digits` gets 300 training images with their class, 700 without, and 500 test images;
and `new` gets ten further images.
"""

import gzip
import pathlib
import struct
import zlib

EXCERPT = pathlib.Path(__file__).resolve().parents[2] / "data" / "mnist-excerpt"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, pixels, width=28, height=28):
    lines = b"".join(b"\0" + pixels[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def images(part):
    pixels = gzip.decompress((EXCERPT / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((EXCERPT / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return [(pixels[at * 784 : (at + 1) * 784], label) for at, label in enumerate(labels)]


for at, (pixels, label) in enumerate(images("train")[:1000]):
    name = f"{label}/{at:04}.png" if at < 300 else f"{at:04}.png"
    write_png(pathlib.Path("digits/train") / name, pixels)
test = images("t10k")
for at, (pixels, label) in enumerate(test[:500]):
    write_png(pathlib.Path(f"digits/test/{label}/{at:04}.png"), pixels)
for at, (pixels, label) in enumerate(test[500:510]):
    write_png(pathlib.Path(f"new/{at}.png"), pixels)
print("wrote the folders digits and new")
