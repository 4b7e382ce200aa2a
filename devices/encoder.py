"""python-escpos as a pure encoder, without what its import leaves behind.

Importing python-escpos 3.1 puts a handler on the root logger and a folder with a pickle into the
system's temporary files, once per process. Both are taken back here.
"""

import importlib
import logging
import os
import shutil
from typing import Any


def _import_quietly(name: str) -> Any:
    root = logging.getLogger()
    before = list(root.handlers)
    module = importlib.import_module(name)
    for handler in list(root.handlers):
        if handler not in before:
            root.removeHandler(handler)
    capabilities = importlib.import_module("escpos.capabilities")
    if "ESCPOS_CAPABILITIES_PICKLE_DIR" not in os.environ:
        shutil.rmtree(capabilities.pickle_dir, ignore_errors=True)
    return module


Dummy: Any = _import_quietly("escpos.printer").Dummy
EscposImage: Any = _import_quietly("escpos.image").EscposImage
