"""The report: what one tick did, as one value; the last one is the system's status.

Text for people and JSON for programs are made from this same value.
"""

from __future__ import annotations

from allie.core import stubs
from allie.core.change.ledger import NOTHING
from allie.core.change.plan import PLACE, REMOVE, RESTORE, Change, Plan
from allie.core.change.resolution import Problem
from allie.core.script import Verdict
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any

BY_HAND = ("drift", "missing")  # headings of what somebody here has changed
_UNTOUCHED = ("left", "adopted")  # so begin the headings of paths that stay as they are
SENT_AGAIN = 24 * 3600 - 600  # seconds after which it goes to the store again, also without news:
# at each 24th hourly tick, as a script that is due `every 1d`
MOST_NAMES = 200  # paths named under one heading; the count is always right


class Contact(Value):
    """How we stand with the store: when it answered, and what is wrong if something is."""

    server: str = ""  # the address that the present generation came from
    generation: int = 0
    good: float = 0.0  # seconds since the epoch: it last answered, and what it had was taken
    trouble: str = ""  # why it did not this time; "" if it did
    since: float = 0.0  # since when there is trouble
    refused: bool = False  # it answered, and what it has was not taken
    answered: float = 0.0  # when `server` last answered; another store may have since
    unfollowed: str = ""  # why the allie.conf that came is not followed
    by: str = ""  # another store that answered in place of `server`, and has the same
    away: dict[str, float] = {}  # noqa: RUF012 - stores that did not answer, and since when

    def after_answer(self, at: float) -> Contact:
        """The same after the store said that it has nothing new; it may have been asked since."""
        answered = self.answered if self.by else max(self.answered, at)
        return self._replace(good=max(self.good, at), answered=answered)

    def after_trouble(self, message: str, now: float, refused: bool = False) -> Contact:
        """The same, with the store out of reach (or refused) now."""
        since = self.since if self.trouble else now
        return self._replace(trouble=message, since=since, refused=refused)

    def is_news_after(self, known: Contact) -> bool:
        """Whether it is worth a note: more than the time is new, or that by more than a minute."""
        same = self._replace(good=known.good, answered=known.answered) == known
        return not same or abs(self.good - known.good) > 60


class Applied(Value):
    """What one part did: path lists by heading (new, changed, drift, withdrawn …)."""

    tick: int
    part: str
    generation: int = 0
    did: dict[str, list[str]] = {}  # noqa: RUF012 - never changed in place
    counts: dict[str, int] = {}  # noqa: RUF012
    problems: tuple[Problem, ...] = ()
    paused: bool = False
    kinds: dict[str, str] = {}  # noqa: RUF012 - of paths changed by hand: what of them, `_kind`

    @property
    def changed(self) -> int:
        """How many paths of the root were changed."""
        return 0 if self.paused else sum(self.counts.values())


class Report(Value):
    """One tick of one system."""

    tick: int
    system: str
    host: str
    version: str  # ALLiE's
    began: float  # seconds since the epoch
    seconds: float
    verb: str = "run-conf"
    image: str = ""
    classes: tuple[str, ...] = ()
    contact: Contact = Contact()
    own_door: Contact = Contact()  # of what is this host's own; no server: it has none
    applied: tuple[Applied, ...] = ()
    scripts: tuple[Verdict, ...] = ()
    named: tuple[str, ...] = ()  # the scripts that somebody asked for; (): all that were due
    paused: str = ""  # the reason, if ticks only report
    notes: tuple[str, ...] = ()  # what else an administrator should know

    @property
    def problems(self) -> list[Problem]:
        """Every path that was left as it is."""
        return [problem for applied in self.applied for problem in applied.problems]

    @property
    def own(self) -> list[Applied]:
        """What its own parts did; a tick of named scripts shows what an earlier one did, too."""
        return [applied for applied in self.applied if applied.tick == self.tick]

    @property
    def ran(self) -> list[Verdict]:
        """The scripts that were this tick's to run; the others are as an earlier one left them.

        One that is due at a tick's end did not run: ticks are paused.
        """
        ours = [each for each in self.scripts if not self.named or each.name in self.named]
        return [each for each in ours if each.state != "due"]

    @property
    def changed(self) -> bool:
        """Whether its parts changed anything."""
        return any(each.changed for each in self.own)

    @property
    def is_refused(self) -> bool:
        """Whether a store, or this host's own door, answered, and nothing was taken."""
        return self.contact.refused or self.own_door.refused

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should look: a script fails, a path was refused, the store says no."""
        failing = any(verdict.state == "failing" for verdict in self.scripts)
        return bool(failing or self.problems or self.notes or self.is_refused)

    @property
    def is_quiet(self) -> bool:
        """Whether the tick had nothing to do and nothing to say."""
        ran = any(
            each.code is not None
            and each.name not in stubs.NAMES
            and (each.state != "waiting" or each.since >= self.began)  # it waits as it did
            for each in self.ran
        )
        attention = self.needs_attention and not self.named
        return not (ran or attention or self.changed)


def applied_of(tick: int, plan: Plan, changes: list[Change], problems: list[Problem]) -> Applied:
    """What a part did, from the changes that were really made."""
    did: dict[str, list[str]] = {}
    by_hand: list[Change] = []
    for change in changes:
        if change.verb in (PLACE, RESTORE, REMOVE) or change.why.startswith(_UNTOUCHED):
            did.setdefault(change.why, []).append(change.real)
            if change.why in BY_HAND:
                by_hand.append(change)
    done = applied(tick, plan.part, did, problems, plan.generation)
    return done._replace(kinds={each.real: _kind(each) for each in by_hand[:MOST_NAMES]})


def _kind(change: Change) -> str:
    """What of a path was changed by hand: changed, mode, owner, attributes, removed or made."""
    old, standing = change.old, change.standing
    if standing.content == NOTHING:
        return "removed"
    if old is None or old.content == NOTHING:
        return "made"
    if standing.content != old.content:
        return "changed"
    mode, owner = old.attrs[:4] != standing.attrs[:4], _owner(old.attrs) != _owner(standing.attrs)
    return ", ".join(["mode"] * mode + ["owner"] * owner) or "attributes"


def _owner(attrs: str) -> list[str]:
    """Owner and group of `Placed.attrs`: a mode of four digits, both as numbers, a digest."""
    return attrs.split()[1:3]


def applied(
    tick: int, part: str, did: dict[str, list[str]], problems: list[Problem], generation: int = 0
) -> Applied:
    """What a part did, from all paths by heading: they are counted, and the first are named."""
    counts = {why: len(paths) for why, paths in did.items() if not why.startswith(_UNTOUCHED)}
    short = {why: paths[:MOST_NAMES] for why, paths in did.items()}
    return Applied(tick, part, generation, short, counts, tuple(problems))


def to_json(value: Any) -> Any:
    """A report, or another value, as plain JSON values; so are the values in it."""
    if hasattr(value, "_asdict"):
        return {name: to_json(each) for name, each in value._asdict().items()}
    return [to_json(each) for each in value] if isinstance(value, (list, tuple)) else value


def from_json(value: dict[str, Any]) -> Report:
    """Read what `to_json` wrote; what a newer version added is passed over."""
    report = Report(**_known(Report, value))
    return report._replace(
        classes=tuple(report.classes),
        notes=tuple(report.notes),
        named=tuple(report.named),
        contact=contact_from_json(value.get("contact", {})),
        own_door=contact_from_json(value.get("own_door", {})),
        applied=tuple(applied_from_json(each) for each in value.get("applied", ())),
        scripts=tuple(Verdict(**_known(Verdict, each)) for each in value.get("scripts", ())),
    )


def contact_from_json(value: dict[str, Any]) -> Contact:
    """Read a Contact."""
    return Contact(**_known(Contact, value))


def applied_from_json(value: dict[str, Any]) -> Applied:
    """Read one part's Applied."""
    problems = tuple(Problem(**_known(Problem, each)) for each in value.get("problems", ()))
    return Applied(**_known(Applied, value))._replace(problems=problems)


def _known(kind: Any, value: dict[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in kind._fields if name in value}
