"""What every test relies on."""

import os
import signal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Interpreters that a test starts import the ppocore that is tested, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

# Where output is not buffered, a program never finds at its end that it cannot be written.
os.environ.pop("PYTHONUNBUFFERED", None)

# A shell starts background jobs with SIGINT ignored, and they would hand that on to what the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Run what starts JAX's threads last: worker processes that are forked after that could deadlock."""
    mentions = {path: "jax" in path.read_text() for path in {item.path for item in items}}

    def rank(item):
        starts = any(name in item.nodeid for name in ("jax", "on_every_backend", "test_whole_runs"))
        return 2 if starts else int(mentions[item.path])  # other tests of such a file may start it, too

    items.sort(key=rank)
