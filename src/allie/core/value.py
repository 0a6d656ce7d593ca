"""Value: what every step hands to the next, a typing.NamedTuple at a tenth of its start-up cost.

typing itself takes 4 ms to import, and a namedtuple of either kind compiles code for each class:
together a tenth of a tick that has nothing to do, on every PC, every hour. So type checkers see
NamedTuple, and a running program gets tuples with named fields, defaults and the class's methods.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]  # a namedtuple's field

__all__ = ["TYPE_CHECKING", "Value"]

TYPE_CHECKING = False  # type checkers take this name for True (PEP 484)

if TYPE_CHECKING:
    from typing import NamedTuple as Value
else:

    class _Kind(type):
        """Makes a tuple with named fields of a class body: its annotations are the fields."""

        def __new__(cls, name, bases, body):
            fields = tuple(_annotations(body))
            body["_fields"] = fields
            body["_at"] = {field: at for at, field in enumerate(fields)}
            body["_field_defaults"] = {field: body[field] for field in fields if field in body}
            body.update((field, _tuplegetter(at, None)) for at, field in enumerate(fields))
            body.setdefault("__slots__", ())
            return super().__new__(cls, name, bases, body)

    def _annotations(body):
        """Take the annotations out of a class body; since Python 3.14 a function makes them."""
        if "__annotate_func__" in body:
            return body.pop("__annotate_func__")(4)  # annotationlib.Format.STRING
        return body.pop("__annotations__", ())

    class Value(tuple, metaclass=_Kind):
        """Base of all values."""

        def __new__(cls, *values, **named):
            fields = cls._fields
            if len(values) == len(fields) and not named:
                return tuple.__new__(cls, values)
            if len(values) < len(fields):
                defaults = cls._field_defaults
                try:
                    values += tuple(
                        [
                            named.pop(field) if field in named else defaults[field]
                            for field in fields[len(values) :]
                        ]
                    )
                except KeyError as missing:
                    raise TypeError(f"{cls.__name__} lacks {missing}") from None
            if named or len(values) != len(fields):
                raise TypeError(f"{cls.__name__} has the fields {', '.join(fields)}")
            return tuple.__new__(cls, values)

        # Of all fields in order: for what is made by the thousand
        _make = classmethod(tuple.__new__)

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            shown = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self)])
            return f"{type(self).__name__}({shown})"

        def _asdict(self):
            return dict(zip(self._fields, self))

        def _replace(self, **changes):
            values = list(self)
            try:
                for name, value in changes.items():
                    values[self._at[name]] = value
            except KeyError as unknown:
                raise TypeError(f"{type(self).__name__} has no field {unknown}") from None
            return tuple.__new__(type(self), values)
