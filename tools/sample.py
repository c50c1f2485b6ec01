"""Draw the offline sample, the 5 000 MNIST digits that travel with the package.

    python -m tools.sample            write it anew from the full MNIST
    python -m tools.sample --check    draw again and compare with what is stored

Each split of the sample comes from the same split of the full data, so that no digit to choose
with was ever one to train on: 4 000 of the 50 000 digits for "train" and 500 of the 10 000 for
"valid", both from the training file, and 500 of the 10 000 of the test file. Drawn at random
without replacement; they stand in the order in which they were drawn.
"""

import argparse
import hashlib
import sys

import numpy as np

from stn_course.data import digits

SEED = 0


def draw() -> dict[str, np.ndarray]:
    """NAME_images uint8 [N, 28, 28] and NAME_labels uint8 [N] of every split.

    Raises FullMnistNeededError where only the sample itself is at hand.
    """
    if digits.is_sample():
        raise digits.FullMnistNeededError(
            "the sample is drawn from the full MNIST, whose four files are not here: "
            "`stn-course data` fetches them"
        )
    generator = np.random.RandomState(SEED)  # NumPy keeps its numbers as they are for ever
    drawn = {}
    for split, count in digits.SAMPLE_SIZES.items():
        full = digits.mnist(split)
        places = generator.permutation(len(full))[:count]
        drawn[f"{split}_images"] = full.images[places, 0].numpy()
        drawn[f"{split}_labels"] = full.labels[places].numpy().astype(np.uint8)
    return drawn


def differences() -> list[str]:
    """The stored arrays that are not what is drawn now; [] if all are."""
    drawn = draw()
    with np.load(digits.SAMPLE_FILE) as stored:
        names = sorted(set(drawn) ^ set(stored.files))
        return names + [name for name in drawn if not np.array_equal(drawn[name], stored[name])]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    try:
        if parser.parse_args(argv).check:
            wrong = differences()
            print(f"other than drawn: {', '.join(wrong)}" if wrong else "the sample is as drawn")
            return 1 if wrong else 0
        np.savez_compressed(digits.SAMPLE_FILE, **draw())
    except digits.FullMnistNeededError as error:
        print(error, file=sys.stderr)
        return 2
    body = digits.SAMPLE_FILE.read_bytes()
    print(f"{digits.SAMPLE_FILE.name}: {len(body) / 1e6:.2f} MB")
    print(f'SAMPLE_SHA256 = "{hashlib.sha256(body).hexdigest()}"  # for stn_course/data/digits.py')
    return 0


if __name__ == "__main__":
    sys.exit(main())
