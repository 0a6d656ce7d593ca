"""Values as scripts: the one form in which a page that was opened from a file can load data.

A browser lets such a page fetch nothing, and import no module; `<script src>` it may have. So a
file of data is one call of the page's function `allie` with a name and a JSON value. Nothing in it
can end the script, or be taken for HTML where it is looked at as such: all that is not ASCII, and
`<`, `>` and `&`, are written as JSON's escapes.
"""

from __future__ import annotations

import json
from typing import Any

SHARDS = 256
_OFFSET, _PRIME = 0x811C9DC5, 0x01000193  # of FNV-1a with 32 bits
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def of(name: str, value: Any) -> bytes:
    """The script that hands a value to the page, by a name that is ours."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII
    return f'allie("{name}",{text.translate(_ESCAPES)})\n'.encode()


def value_of(script: bytes | None, name: str) -> dict[str, Any]:
    """The object that a script of ours hands to the page; an empty one of any other file."""
    begin = f'allie("{name}",'.encode()
    try:
        value = json.loads((script or b"").removeprefix(begin)[:-2])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def shard(name: str) -> str:
    """In which of 256 files the details of something are: by its name, and safe as a file's.

    assets/allie.js has the same (`shardOf`), so that a page finds the file by the name alone.
    """
    found = _OFFSET
    for byte in name.encode():
        found = (found ^ byte) * _PRIME & 0xFFFFFFFF
    return f"{(found ^ found >> 16) % SHARDS:02x}"
