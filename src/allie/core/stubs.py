"""The kit's stubs: the same few lines under several names; the name says what to do.

`run-conf` knows a stub by its digest and does its work itself, in a forked child.

docs/internals/rules.md, "Stubs are known by their digest".
"""

from __future__ import annotations

# sha256 of every stub that was ever delivered, newest last; a test holds the present one to it.
DIGESTS = (
    "d543a2d300ece1f0a82e1a5b3729cbf4356bfa136fa256c6431ab7463ace1e84",
    "1971690083ddbc0779fad9b42db0adeed55acdf17c62c8ffe54e7a705c0052e1",
    "a3d930dfdceb9e5621580fd01ae352f25ed8fa9fda4356c49ac7d50d3b2841e2",
    "32bdaae231ab2cb46278df5fe5596f18fee605970299c96d937bee8cc530e5df",
)
KIT = "kit"  # the overlay that brings client and stubs: followed whether it is named or not
WORKS = "this client works"  # what selfcheck says; the client before it waits for these words
NAMES = ("run-conf", "00overlay", "01overact", "98systems", "99report")
FETCHER = "00overlay"  # brings the overlays, and with them every other script
REPORTER = "99report"  # tells the store how the PC is, after all other scripts
PARTS = {"00overlay": "overlay", "01overact": "overact"}
UNITS = "etc/systemd/system"
TIMERS = ("allie.timer", "allie-boot.timer")
SERVICE = "allie.service"
# What Python is given to begin with the client archive, whose path comes next: its own way into an
# archive, runpy, costs each tick 8 ms. -ISBXutf8: isolated, no site, no bytecode written, names of
# files in UTF-8. Programs that were started long ago call a newer archive by these lines, so every
# archive has a `start.py` with a `main`.
START = """\
-ISBXutf8 -c "import sys
sys.argv.pop(0)
sys.path.insert(0, sys.argv[0])
from start import main
sys.exit(main())\""""
# The same for the archive itself, which first does a quick tick, if that is all there is to do: by
# code that a whole tick has put into its state (client.tick.quick_note), whose name says for which
# archive it is good (machine.code.cache, `mark_of`). It must be root's alone.
BEGIN = """\
-ISBXutf8 -c "import sys
sys.argv.pop(0)
sys.path.insert(0, sys.argv[0])
if sys.argv[1:] == ['run-conf']:
    import marshal, posix
    try:
        a, d = posix.stat(sys.argv[0]), '/var/lib/allie/quick'
        n = 'code-%d-%d-%d-%s' % (a.st_ino, a.st_ctime_ns, a.st_size, sys.implementation.cache_tag)
        f = posix.open(d + '/' + n, posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
        s, t = (posix.stat(d), posix.fstat(f)), posix.read(f, 1 << 20)
        posix.close(f)
        if not any(e.st_uid or e.st_mode & 18 for e in s):
            for m, c in marshal.loads(t):
                sys.modules[m] = m = type(sys)(m)
                exec(c, m.__dict__)
                if 'begin' in m.__dict__:
                    m.begin(n)
    except Exception:
        pass
from start import main
sys.exit(main())\""""
