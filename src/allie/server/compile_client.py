"""Compile modules with the Python that runs this, a program of its own which `kit` starts.

Standard input has two lists, by marshal: the modules of a table as `machine.code.finder` loads it
(name, is it a package, path, text, file name in tracebacks), and the sources of .pyc files (path,
text, file name). The answer is by marshal, too: what tells this Python's compiled code from
another's, what it calls itself in file names, the table, and the .pyc files by path.

Docstrings and the annotations of functions, which nobody asks for there, are left out: a quarter of
what each PC reads. Not by `optimize`, which leaves out asserts, too. What a command says of itself
is the docstring of its module, in `cli`.

What marshal writes follows from the names that a process happens to know, and before Python 3.11 a
set's order from its hash seed. So this is a process that does nothing else, with a seed that is
given: the same sources give the same bytes.
"""

from __future__ import annotations

import _imp
import ast
import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER

_DESCRIBED = ast.FunctionDef, ast.ClassDef, ast.Module
_CHECKED = 0b11  # PEP 552: good for the source of this hash, whatever its time is


def _code(text: bytes, file_name: str) -> bytes:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, _DESCRIBED) and ast.get_docstring(node, clean=False) is not None:
            first, *rest = node.body
            if not isinstance(node, ast.Module) or "/allie/cli/" not in file_name:
                node.body = rest or [ast.copy_location(ast.Pass(), first)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return marshal.dumps(compile(tree, file_name, "exec", dont_inherit=True))


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
    answer = MAGIC_NUMBER, sys.implementation.cache_tag, table, files
    sys.stdout.buffer.write(marshal.dumps(answer))


if __name__ == "__main__":
    main()
