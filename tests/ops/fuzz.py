"""Random inputs for the tests that compare an operator with its twin. AWSDET_FUZZ_CASES sets how many.

One call of an operator takes several inputs at once, images for most operators, so that many can be tried.
"""

import os

import numpy as np

CASES = int(os.environ.get("AWSDET_FUZZ_CASES", "1000"))  # of each test


def run(compare, cases=CASES):
    """Calls compare(random) with generators of the seeds 0, 1, ..., until it has compared `cases` inputs.

    Args:
        compare: makes some inputs and returns their number, which may be 0; raises AssertionError if results differ.

    Raises AssertionError with the seed. Prints the numbers of inputs and calls, which `pytest -s` shows.
    """
    done = seed = 0
    while done < cases:
        try:
            done += compare(np.random.default_rng(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seed += 1
    print(f"{done:,} random inputs in {seed:,} calls")


def images(random):
    """How many images a call has: none, a few, or many, which are then to be small."""
    return int(random.choice([0, 1, 3, 40], p=[0.05, 0.25, 0.3, 0.4]))
