"""Print the completion for one shell: `python3 -m tools.completion bash|zsh|fish`."""

from __future__ import annotations

import os
import sys

from tools.completion import bash, commands, fish, zsh

SHELLS = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}

if __name__ == "__main__":
    os.environ.pop("ALLIE_STORE", None)  # a builder's own; the help says which store is the default
    if sys.argv[1:2] and sys.argv[1] in SHELLS:
        sys.stdout.write(SHELLS[sys.argv[1]](commands.all_of_them()))
    else:
        sys.exit(f"usage: python3 -m tools.completion {'|'.join(SHELLS)}")
