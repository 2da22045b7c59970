"""Random programs from the command line: how many to try, and from which on."""

import sys
import warnings

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
