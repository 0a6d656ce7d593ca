"""A file system, or an automounter, that a program of the test's own serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(text: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A Python program with these arguments, from when it says `mounted` on; killed at the end.

    What it has mounted stays there, for the caller to unmount.
    """
    argv = [sys.executable, "-c", text, *map(str, words)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout
            assert program.stdout.readline() == "mounted\n"
            yield program
        finally:
            program.kill()
