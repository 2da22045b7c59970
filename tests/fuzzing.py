"""Random programs: what they are tried with, in the suite and from the command line."""

import sys
import warnings

import numpy as np

from chainrule.transforms.jit import JitWarning


def main(make, wrong, described=repr):
    """Try ``python tests/test_….py COUNT [START]`` programs; say which ones fail, and how.

    ``make`` gives the program of a number, and ``wrong`` what is wrong with it, or nothing. One
    that is not compiled at all has failed.
    """
    count, start = (*map(int, sys.argv[1:]), 0)[:2]
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", JitWarning)
    failed = 0
    for seed in range(start, start + count):
        program = make(seed)
        try:
            found = wrong(program)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            failed += 1
            print(f"--- seed {seed}: {found[:600]}\n{described(program)}", flush=True)
    print(f"{count} programs, {failed} failed")


def all_right(make, wrong, seeds, described=repr):
    """The programs of some numbers have nothing wrong with them."""
    for seed in seeds:
        program = make(seed)
        found = wrong(program)
        assert not found, f"seed {seed}: {found}\n{described(program)}"


def leave_nan_behind(*shapes):
    """Fill memory that new arrays of these shapes get, so that it shows what is not written."""
    arrays = [np.full(shape, np.nan) for shape in shapes for _ in range(8)]
    del arrays
