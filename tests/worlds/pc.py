"""A PC: a root directory, and the real client run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# No more than cron or a systemd unit would give it
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class Spawned(subprocess.Popen[bytes]):
    """A verb on its way. The end of its context waits for it; after a failure it is killed."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind:
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(kind, *rest)  # type: ignore[arg-type]  # as typeshed has the other two


class Result(NamedTuple):
    """How one run of the client ended."""

    rc: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed under --json."""
        return json.loads(self.out)

    def ok(self) -> Result:
        """Itself, where it exited 0; else an error that shows what it said."""
        if self.rc != 0:
            raise AssertionError(f"exit {self.rc}\n--- out\n{self.out}\n--- err\n{self.err}")
        return self


def ended(argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Result:
    """Run a command line of ours to its end."""
    done = subprocess.run(
        argv,
        cwd="/",
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # names that are not UTF-8 come through
        timeout=timeout,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class PC:
    """One system, in a directory, with the client from src/ or from a built archive."""

    def __init__(
        self,
        root: Path,
        *,
        archive: Path | None = None,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.archive = archive
        self.python = python
        self.env = {**ENVIRONMENT, **(env or {})}

    def argv(self, *args: str | Path) -> list[str]:
        """The command line of the client on this PC."""
        client = ["-m", "allie.cli.main"] if self.archive is None else [str(self.archive)]
        return [self.python, *client, "--root", str(self.root), *map(str, args)]

    def run(
        self, *args: str | Path, env: Mapping[str, str] | None = None, timeout: float = 100
    ) -> Result:
        """Run one verb to its end."""
        return ended(self.argv(*args), self._environment(env), timeout)

    def spawn(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Spawned:
        """Start one verb, in a process group of its own, to be watched or killed."""
        return Spawned(
            self.argv(*args),
            cwd="/",
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def path(self, name: str) -> Path:
        """A path inside the root; `name` may begin with a slash."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str:
        """The content of a file inside the root."""
        return self.path(name).read_text(errors="surrogateescape")

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        env = {**self.env, **(more or {})}
        # Temporary files go where the tests look for what was left behind.
        if "TMPDIR" in os.environ:
            env.setdefault("TMPDIR", os.environ["TMPDIR"])
        if self.archive is None:
            # An editable install needs none of this; another python than the tests' own does.
            env.setdefault("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
        return env
