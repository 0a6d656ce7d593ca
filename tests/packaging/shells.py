"""Real shells, asked what they would offer for a command line.

bash and zsh complete at a terminal alone, so each gets one, with what completion offers written to
a file; fish says it when asked. None finds a program in its PATH: completion starts none.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED_SECONDS = 60
_BASH = """\
PS1= HISTFILE=
bind 'set bell-style none' 'set show-all-if-ambiguous off'
source {script}
_offered() {{ _allie "$@"; printf '%s\\n' "${{COMPREPLY[@]}}" 'the end' >>{heard}; COMPREPLY=(); }}
complete -F _offered allie
"""
# What would be offered is taken where it is added; `-O`, `-A` and `-D` add nothing
_ZSH = """\
PS1= HISTFILE= LISTMAX=10000
fpath=({folder} $fpath)
autoload -Uz compinit
compinit -D -u
zstyle ':completion:*' completer _complete
unsetopt beep auto_list auto_menu
compadd() {{
    if [[ ${{@[(I)-[OAD]]}} -eq 0 ]]; then
        local -a found
        builtin compadd -O found "$@"
        print -rl -- $found >>{heard}
    fi
    builtin compadd "$@"
}}
_offered() {{ _allie "$@"; print 'the end' >>{heard} }}
compdef _offered allie
"""


def program(name: str) -> str:
    """Where the shell is; `make setup-test` installs it."""
    found = shutil.which(name)
    assert found, f"needs {name}"
    return found


class Fish:
    """fish has a word for it."""

    def __init__(self, script: Path, env: dict[str, str]) -> None:
        self.script, self.env = script, env

    def offers(self, line: str) -> set[str]:
        """What could come next."""
        told = f"source {self.script}; set PATH /nowhere; complete -C {line!r}"
        done = subprocess.run(
            [program("fish"), "--no-config", "-c", told],
            env={**self.env, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=NEEDED_SECONDS,
        )
        assert not done.stderr, done.stderr
        return {each.partition("\t")[0] for each in done.stdout.splitlines()}


class AtTerminal:
    """bash or zsh with a terminal, and the file with what it offered."""

    def __init__(self, terminal: int, heard: Path) -> None:
        self.terminal, self.heard = terminal, heard

    def offers(self, line: str) -> set[str]:
        """What could come next: the line anew (Ctrl-U), and Tab, which must be the last key."""
        self.type(f"\x15{line}\t")
        return {each for each in self.heard.read_text().splitlines()[:-1] if each}

    def type(self, text: str) -> None:
        """Type it, and wait until the end of it is heard; what is shown meanwhile is let go."""
        self.heard.write_text("")
        os.write(self.terminal, text.encode())
        end = time.monotonic() + NEEDED_SECONDS
        shown = b""
        while not self.heard.read_text().endswith("the end\n"):
            if select.select([self.terminal], [], [], 0.01)[0]:
                shown += os.read(self.terminal, 1 << 16)
            assert time.monotonic() < end, shown.decode(errors="replace")


@contextmanager
def at_terminal(shell: str, script: Path, env: dict[str, str]) -> Iterator[AtTerminal]:
    """bash or zsh, ready to complete `allie`."""
    folder = script.parent
    heard = folder / "heard"
    start = folder / ".zshrc"
    text = _BASH if shell == "bash" else _ZSH
    start.write_text(text.format(script=script, folder=folder, heard=heard))
    quiet = ["--rcfile", str(start), "--noprofile"] if shell == "bash" else ["-d"]
    path = program(shell)
    own = {**env, "ZDOTDIR": str(folder), "PATH": "/nowhere", "TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        os.execve(path, [path, *quiet, "-i"], own)
    try:
        made = AtTerminal(terminal, heard)
        made.type(f"echo the end >>{heard}\n")  # it has started
        yield made
    finally:
        os.close(terminal)  # the shell ends with its terminal
        os.waitpid(child, 0)
