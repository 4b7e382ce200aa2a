"""EIO and ENOSPC at every system call of a payment, injected by strace into a real shop's process.

Whatever the disk answers, "paid" means that the sale is in the journal with its receipt, and
"refused" means that it is not; and when the disk is well again, the till sells on.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.shop_builder import settings_for
from tests.powercuts.shop import TILLS, examine
from tests.servers import missing

ROOT = Path(__file__).parents[2]
CALLS = {
    "EIO": ("pwrite64", "fdatasync,fsync", "ftruncate", "pread64"),
    "ENOSPC": ("pwrite64", "ftruncate"),
}
CALLS_MAX = 80  # of one kind in one payment; a payment makes about 25 writes
REFUSALS = {"DISK_FAULT", "DISK_FULL", "DATABASE_BUSY"}


class Seller:
    """The shop's process, one line in, one line out."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.powercuts.seller", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "open"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> None:
        self.process.communicate("end\n", timeout=60)


@contextmanager
def injecting(pid: int, calls: str, error: str, when: int, log: Path) -> Iterator[None]:
    """strace answers the `when`-th of these calls with an error."""
    program = shutil.which("strace")
    assert program, missing("strace")
    command = [program, "-f", "-y", "-o", str(log), "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:error={error}:when={when}", "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, (
        "The kernel does not let strace trace here (ptrace is forbidden), so no disk fault can be "
        f"injected. Run the tests with the capability SYS_PTRACE. strace said: {said}"
    )
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(60)
        tracer.stderr.close()


def pay_under_faults(
    seller: Seller, calls: str, error: str, tmp_path: Path
) -> tuple[list[str], int]:
    """One payment for each system call; returns the sales answered "paid", and the refusals."""
    paid, refused = [], 0
    log = tmp_path / "trace"
    for when in range(1, CALLS_MAX):
        sale = seller.say("ring")
        with injecting(seller.process.pid, calls, error, when, log):
            answer = seller.say("pay")
        hit = "INJECTED" in log.read_text()
        if answer.startswith("refused"):
            assert answer.split()[1] in REFUSALS, answer
            assert hit, "refused without a fault"
            refused += 1
            assert seller.say("ring") == sale  # the basket is as it was
            answer = seller.say("pay")
        assert answer.startswith(f"paid {sale} "), f"{error} at {calls} {when}: {answer}"
        paid.append(sale)
        if not hit:
            return paid, refused
    pytest.fail(f"a payment makes more than {CALLS_MAX} of {calls}")


@pytest.mark.parametrize(
    ("error", "calls"), [(error, calls) for error, many in CALLS.items() for calls in many]
)
def test_a_fault_at_every_call_of_a_payment(error: str, calls: str, tmp_path: Path) -> None:
    seller = Seller(tmp_path)
    try:
        paid, refused = pay_under_faults(seller, calls, error, tmp_path)
        if calls in {"pwrite64", "fdatasync,fsync"}:
            assert refused > 0, "no fault was ever felt"
    finally:
        seller.end()
    state = examine(settings_for(tmp_path, tills=TILLS).database_path)
    assert state.sales == paid


@pytest.mark.parametrize("when", [1, 2])
def test_the_machine_dies_right_after_a_failed_sync(when: int, tmp_path: Path) -> None:
    """What was refused may not come back as a sale without a receipt, nor what was paid be lost."""
    seller = Seller(tmp_path)
    first = seller.say("ring")
    assert seller.say("pay").startswith(f"paid {first} ")
    second = seller.say("ring")
    with injecting(seller.process.pid, "fdatasync,fsync", "EIO", when, tmp_path / "trace"):
        answer = seller.say("pay")
    seller.process.kill()
    seller.process.communicate(timeout=60)
    sales = examine(settings_for(tmp_path, tills=TILLS).database_path).sales
    assert sales in ([first], [first, second])
    if answer.startswith("paid"):
        assert sales == [first, second]
    again = Seller(tmp_path)
    told = again.say("ring")
    if sales == [first]:
        assert told == second  # the same basket, to be paid again
    assert again.say("pay").startswith(f"paid {told} ")
    again.end()
