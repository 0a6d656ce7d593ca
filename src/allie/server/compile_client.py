"""Compile modules with the Python that runs this, a program of its own which `kit` starts.

Standard input has two lists, by marshal: the modules of a table as `machine.code.finder` loads it
(name, is it a package, path, text, file name in tracebacks), and the sources of .pyc files (path,
text, file name). The answer is by marshal, too: what tells this Python's compiled code from
another's, what it calls itself in file names, the table, and the .pyc files by path.

What marshal writes follows from the names that a process happens to know, and before Python 3.11 a
set's order from its hash seed. So this is a process that does nothing else, with a seed that is
given: the same sources give the same bytes.
"""

from __future__ import annotations

import _imp
import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER

_CHECKED = 0b11  # PEP 552: good for the source of this hash, whatever its time is


def _code(text: bytes, file_name: str) -> bytes:
    return marshal.dumps(compile(text, file_name, "exec", dont_inherit=True))


def _pyc(text: bytes, file_name: str) -> bytes:
    known = _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), text)
    return MAGIC_NUMBER + _CHECKED.to_bytes(4, "little") + known + _code(text, file_name)


def main() -> None:
    """Read, compile, answer."""
    modules, sources = marshal.load(sys.stdin.buffer)
    table = {
        name: (is_package, path, _code(text, file_name))
        for name, is_package, path, text, file_name in modules
    }
    files = {f"{path}c": _pyc(text, file_name) for path, text, file_name in sources}
    answer = MAGIC_NUMBER, sys.implementation.cache_tag, marshal.dumps(table), files
    sys.stdout.buffer.write(marshal.dumps(answer))


if __name__ == "__main__":
    main()
