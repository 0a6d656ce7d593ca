"""Show a long text a screen at a time, by the program that people use for that."""

from __future__ import annotations

import os
import shlex

from allie.machine.programs import process

_ORDINARY = (["less"], ["more"])


def become(text: str) -> None:
    """Turn into a pager with the text: $PAGER, less or more. Comes back where there is none."""
    wanted = (shlex.split(os.environ.get("PAGER", "")), *_ORDINARY)
    argv = next((each for each in wanted if each and process.program(each[0])), None)
    if argv is None:
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    data = text.encode(errors="backslashreplace")
    if os.write(write_end, data) == len(data):  # else it is longer than a pipe takes: 64 KiB
        os.dup2(read_end, 0)
        os.close(write_end)
        process.execute(argv, process.environment({"LESS": os.environ.get("LESS", "R")}))
