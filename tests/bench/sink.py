"""Head office's ingest alone in a process: `python -m tests.bench.sink SETTINGS [PROFILE]`."""

import cProfile
import signal
import sys
import threading
from pathlib import Path

from central.compose import compose
from central.settings import load
from protocol.node import logs


def main() -> None:
    logs.set_up(sys.stderr)
    office = compose(load(Path(sys.argv[1])))
    if len(sys.argv) > 2:
        replicator = office.syncing.replicator
        profile, run = cProfile.Profile(), replicator._run
        replicator._run = lambda: profile.runcall(run)  # type: ignore[method-assign]
    office.start("ingest")
    print("ready", flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    office.stop()
    if len(sys.argv) > 2:
        profile.dump_stats(sys.argv[2])


if __name__ == "__main__":
    main()
