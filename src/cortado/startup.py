"""TensorFlow's start, without what it writes to the terminal."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Information, warning or error: "I0000 00:00:…", or the older "2025-01-01 00:00:00.000000: I …".
_STARTUP_MESSAGE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} \d\d:\d\d:\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
)


@contextmanager
def without_startup_messages() -> Iterator[None]:
    """Keep what TensorFlow says while it is imported off the terminal, unless the user has set what to see.

    Its libraries write before any setting reaches them, straight to the file descriptor: that is redirected.
    All else that is written in the meantime follows afterwards.
    """
    if _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = "3"
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _STARTUP_MESSAGE.match(line)))
            # Among others that functions are compiled again, as they are for each number of categories.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)


def load_tensorflow() -> None:
    """Import it: for workers, on which nothing else does so quietly."""
    with without_startup_messages():
        from cortado.models import tensorflow  # noqa: F401
