#!/usr/bin/env bash
# Make .venv with the pinned versions. Needs Python 3.11 or newer; on Debian also python3-venv, which it installs when it may.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Tillmesh needs Python 3.11 or newer; '$python' is not. Set PYTHON=/path/to/python3.11 and run again." >&2
  exit 2
fi
if [ ! -x .venv/bin/pip ]; then
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    . deploy/apt.sh
    apt_install python3-venv
  fi
  "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,pay,postgres,test]'
