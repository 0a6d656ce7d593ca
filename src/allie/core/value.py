"""Value: what every step hands to the next, a typing.NamedTuple at a quarter of its start-up cost.

typing itself takes 4 ms to import, and its NamedTuple compiles every annotation of every class:
together a tenth of a tick that has nothing to do, on every PC, every hour. So type checkers see
NamedTuple, and a running program gets collections.namedtuple with the class's defaults and methods.
"""

from __future__ import annotations

from collections import namedtuple

__all__ = ["TYPE_CHECKING", "Value"]

TYPE_CHECKING = False  # type checkers take this name for True (PEP 484)

if TYPE_CHECKING:
    from typing import NamedTuple as Value
else:

    class _Kind(type):
        """Makes a namedtuple of a class body: its annotations are the fields."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = _annotations(body)
            defaults = [body[field] for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key not in fields and key not in _NOT_COPIED:
                    setattr(made, key, value)
            return made

    _NOT_COPIED = ("__module__", "__qualname__", "__annotations__", "__slots__", "__classcell__")

    def _annotations(body):
        """The names of a class body's annotations; since Python 3.14 a function makes them."""
        if "__annotations__" in body or "__annotate_func__" not in body:
            return list(body.get("__annotations__", ()))
        return list(body["__annotate_func__"](4))  # annotationlib.Format.STRING

    class Value(metaclass=_Kind):
        """Base of all values."""
