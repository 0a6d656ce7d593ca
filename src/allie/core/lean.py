"""Lean stand-ins for what ALLiE uses of a few standard modules that a tick cannot afford.

`contextlib`, `functools`, `itertools`, `json`, `re` and `signal` bring one another along, and with
them `collections`, `enum` and `types`: together that takes longer than Python's own start, and each
PC would pay for it at each whole tick. What a tick needs of them is little: so type checkers see
the standard ones, and a running program gets what stands here. What only few ticks need (`re`,
`json` in other forms) is loaded when it is first used, or by `all_now`.

HACKING.md, "Start-up".
"""

from __future__ import annotations

from allie.core.value import TYPE_CHECKING

__all__ = ["ExitStack", "configparser", "contextmanager", "dumps", "hashlib", "json", "kept"]
__all__ += ["loads", "re", "signal", "suppress"]

_LATE = ("configparser", "hashlib", "json", "re")

if TYPE_CHECKING:
    import configparser
    import hashlib
    import json
    import re
    import signal
    from contextlib import ExitStack, contextmanager, suppress
    from functools import lru_cache as kept
    from json import dumps, loads
else:
    import _signal as signal
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    class _Late:
        """A module that is loaded when it is first used."""

        def __init__(self, name):
            self._name = name

        def __getattr__(self, name):
            return getattr(__import__(self._name), name)

    configparser, hashlib, json, re = map(_Late, _LATE)

    class _Defaults:
        """How json.loads reads what JSON leaves open."""

        strict = True
        object_hook = object_pairs_hook = None
        parse_int, parse_float = int, float
        parse_constant = float  # NaN, Infinity and -Infinity

    _scan = make_scanner(_Defaults)

    def loads(text):
        """As json.loads, which says what is wrong where something is."""
        text = text.strip(" \t\n\r")
        try:
            value, end = _scan(text, 0)
        except (StopIteration, SystemError):  # while json is not loaded, it finds no error to raise
            end = -1
        return value if end == len(text) else json.loads(text)

    def _has_no_json(value):
        raise TypeError(f"{type(value).__name__} has no form in JSON")

    def dumps(value, separators=(", ", ": ")):
        """As json.dumps, on one line."""
        between, after_name = separators
        encode = make_encoder(
            {}, _has_no_json, encode_basestring_ascii, None, after_name, between, False, False, True
        )
        return "".join(encode(value, 0))

    class suppress:  # noqa: N801 - as it is called everywhere
        """As contextlib.suppress."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            pass

        def __exit__(self, kind, error, trace):
            return kind is not None and issubclass(kind, self._kinds)

    class _Around:
        """The two halves of a generator as a context."""

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            return next(self._steps)

        def __exit__(self, kind, error, trace):
            try:
                next(self._steps) if error is None else self._steps.throw(error)
            except StopIteration:
                return error is not None
            except BaseException as raised:
                if raised is not error:
                    raise
                return False
            raise RuntimeError("it yields a second time")

    def contextmanager(work):
        """As contextlib.contextmanager."""
        return lambda *values, **named: _Around(work(*values, **named))

    class ExitStack:
        """As contextlib.ExitStack."""

        def __init__(self):
            self._ends = []

        def callback(self, work, *values):
            self._ends.append(lambda *_: bool(work(*values)) and False)

        def enter_context(self, context):
            found = context.__enter__()
            self._ends.append(context.__exit__)
            return found

        def close(self):
            self.__exit__(None, None, None)

        def __enter__(self):
            return self

        def __exit__(self, *raised):
            if not self._ends:
                return False
            end = self._ends.pop()
            try:
                done = end(*raised)
            except BaseException as error:
                if not self.__exit__(type(error), error, error.__traceback__):
                    raise
                return True
            return self.__exit__(*((None, None, None) if done else raised)) or done

    def kept(maxsize):
        """As functools.lru_cache, but that all are forgotten where they become too many."""

        def keep(work):
            known = {}

            def found(*values):
                if values not in known:
                    if len(known) == maxsize:
                        known.clear()
                    known[values] = work(*values)
                return known[values]

            return found

        return keep


def all_now() -> None:
    """Load what is loaded late, before we leave for a root that has other modules."""
    for name in _LATE:
        __import__(name)
