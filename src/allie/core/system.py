"""Where the things of one system are: every path of ALLiE's own, resolved inside its root."""

from __future__ import annotations

from allie.core.value import Value

STATE = "var/lib/allie"
CODE = "/var/lib/allie-code"  # the running system's, also when working on another root
CONF = "root/conf"
DONE = "root/done"
SETTINGS = "etc/allie/allie.conf"
CLASSES = "etc/allie/classes"
NAME = "etc/allie/system"
SERVERS_OWN = "usr/local/lib/allie/server"  # its command, where the kit's is
ARCHIVE = "usr/local/bin/allie"
STORE = "/srv/allie"  # on a server: its store, if nobody says otherwise


class System(Value):
    """One system on this PC. All paths are absolute, and no symlink leads them out of the root."""

    root: str  # "/" or a directory, without a slash at its end
    name: str  # "" where nobody has joined yet
    etc: str  # …/etc/allie
    conf: str  # …/root/conf
    done: str  # …/root/done
    logs: str  # …/var/log/allie
    run: str  # …/run/allie
    state: str  # …/var/lib/allie
    # Of state, done, logs and run, where these are open descriptors (machine.roots.open_places)
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The same with names and with descriptors, so that what a tick notes of it holds."""
        state, done, logs, run = self.names or (self.state, self.done, self.logs, self.run)
        return f"System{(self.root, self.name, self.etc, self.conf, done, logs, run, state)!r}"

    @property
    def is_base(self) -> bool:
        """Whether this is the system that the PC is running now."""
        return self.root == "/"

    def at(self, path: str) -> str:
        """The absolute path of something whose path inside the root is already real."""
        return f"/{path}" if self.root == "/" else f"{self.root}/{path}"

    @property
    def mirror(self) -> str:
        """The generations, and `current`."""
        return f"{self.state}/mirror"

    @property
    def current(self) -> str:
        """The generation in force (a symlink; may not exist yet)."""
        return f"{self.state}/mirror/current"

    @property
    def ledger(self) -> str:
        """What ALLiE has placed."""
        return f"{self.state}/ledger"

    @property
    def pristine(self) -> str:
        """What stood at a path before ALLiE first placed something there."""
        return f"{self.state}/pristine"

    @property
    def undo(self) -> str:
        """What each tick replaced."""
        return f"{self.state}/undo"

    @property
    def fetched(self) -> str:
        """The names that the last fetch brought, one a line."""
        return f"{self.state}/fetched"

    @property
    def systems(self) -> str:
        """For each other system of this PC, by name: what is being done for it."""
        return f"{self.state}/systems"

    def intent(self, part: str) -> str:
        """What a part is about to do; where it is there, the part was cut short."""
        return f"{self.state}/intent-{part}"

    def applied(self, part: str) -> str:
        """What a part last did."""
        return f"{self.state}/applied-{part}"
