"""Give ppocore what nobody should: files with right checksums and changed entries, odd environments, odd options.

    python benchmarks/fuzz.py files --count 10000       run directories, checkpoints, policies, bundles, metrics
    python benchmarks/fuzz.py environments --count 300  observations, rewards, flags, infos and exceptions of every kind
    python benchmarks/fuzz.py options --count 2000      command lines
    python benchmarks/fuzz.py files --case 1234         one case again, with its outcome

Each case must work and give a finite result, or raise one of ppocore's errors with one sentence, within 30 seconds and
a bounded memory. A file whose entry has become impossible must be refused or give the result of the file as it was.
Exit status 1 if a case does anything else; each is printed with its number, from which it is drawn again.
"""

from __future__ import annotations

import argparse
import importlib
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one of the fuzzers; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("files", "environments", "options"))
    what, rest = parser.parse_known_args(arguments)
    try:
        module = importlib.import_module(f"fuzz_{what.what}")
    except ModuleNotFoundError as error:
        parser.error(f"there is no fuzzer of {what.what} ({error})")
    status: int = module.main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
