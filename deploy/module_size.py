"""Refuse any tracked .py or .js file over 500 lines: two rooms would be calmer."""

import subprocess
import sys
from pathlib import Path

LINES_MAX = 500


def main() -> int:
    """Return 1 and name the files when there are any."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.js"], capture_output=True, text=True, check=True
    ).stdout.split()
    sizes = {
        name: len(Path(name).read_text(encoding="utf-8").splitlines())
        for name in listed
        if Path(name).exists()
    }
    long = {name: lines for name, lines in sizes.items() if lines > LINES_MAX}
    for name, lines in sorted(long.items()):
        print(f"{name}: {lines} lines, {LINES_MAX} at most")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
