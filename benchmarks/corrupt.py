"""Damage checkpoints and policy files: every damage must be detected or harmless.

    python benchmarks/corrupt.py                     1,000 changed bytes and every length, of a checkpoint and a policy
    python benchmarks/corrupt.py --flips 100000      more

One byte at a random position is replaced by another; then the file is cut off at every length. Reading must either
raise a ``UsageError`` of one line or return the same run or policy as the undamaged file. Exit status 1 if anything
else happens.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ppocore import Policy, PPOConfig, train
from ppocore.errors import UsageError
from ppocore.files import run_files
from ppocore.runs import encode_checkpoint, read_checkpoint


def damaged(content: bytes, flips: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield every damaged copy of a file, with the kind of damage."""
    draw = random.Random(seed)
    for _ in range(flips):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        yield "one byte changed", bytes(flipped)
    for length in range(len(content)):
        yield "cut off", content[:length]


def outcome(read: Callable[[Path], bytes], path: Path, expected: bytes) -> str:
    """Return the outcome of reading a damaged file."""
    try:
        return "harmless" if read(path) == expected else "wrong content, undetected"
    except UsageError as error:
        return "refused" if "\n" not in str(error) else "refused in more than one line"
    except Exception as error:
        return f"{type(error).__name__}"


def policy(path: Path) -> bytes:
    """Return the bytes of a policy that was loaded and saved again."""
    loaded = Policy.load(path)
    copy = path.with_name("copy.safetensors")
    loaded.save(copy)
    return copy.read_bytes()


def run(path: Path) -> bytes:
    """Return the bytes of a checkpoint that was read and encoded again."""
    return encode_checkpoint(read_checkpoint(path))


def main() -> int:
    """Damage a checkpoint and a policy file in every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the positions (0)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = PPOConfig(
        total_steps=512, num_envs=4, num_steps=32, minibatch_size=64, hidden_sizes=(8,), normalize_observations=True
    )
    found: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        train("CartPole-v1", config, run_dir=directory)
        for name, file, read in (
            ("checkpoint", run_files(directory)[-1], run),
            ("policy file", directory / "policy.safetensors", policy),
        ):
            content, expected = file.read_bytes(), read(file)
            for damage, bad in damaged(content, options.flips, options.seed):
                file.write_bytes(bad)
                found[name, damage, outcome(read, file, expected)] += 1
            file.write_bytes(content)
    print("| file | damage | outcome | times |\n|---|---|---|---:|")
    for (name, damage, what), times in sorted(found.items()):
        print(f"| {name} | {damage} | {what} | {times} |")
    if options.json:
        print(json.dumps([[*key, times] for key, times in sorted(found.items())]))
    return 0 if {what for _, _, what in found} <= {"harmless", "refused"} else 1


if __name__ == "__main__":
    sys.exit(main())
