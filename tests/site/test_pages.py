"""The pages in a real browser, from files: what people see, hear, and do with the keyboard."""

from __future__ import annotations

import functools
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from allie.server.fleet.fleet import ATTENTION, Concern, Fleet
from allie.server.history.notes import Event
from allie.server.site import as_script
from allie.server.site.write import write_with
from tests.site.conftest import Made, site_of
from tests.worlds import chromium, fleets
from tests.worlds.chromium import Chromium, Visit

pytestmark = chromium.needed

ROWS = "#all tbody tr:not(.space)"
HOST_AT = "() => document.activeElement.textContent"
COUNT = f"() => document.querySelectorAll('{ROWS}').length"


@pytest.fixture
def visit(browser: Chromium, middle: Made) -> Iterator[Visit]:
    """A window on 200 PCs; in the end nothing may have gone wrong in it."""
    with browser.visit(middle.place) as found:
        yield found
    assert not found.wrong


def hosts_shown(visit: Visit) -> list[str]:
    return visit.page.locator(f"{ROWS} th").all_inner_texts()


def rows_said(visit: Visit) -> int:
    """How many rows a screen reader is told of, without the heads."""
    return int(visit.page.get_attribute("#all", "aria-rowcount") or 0) - 1


def a_page_of_each_kind(made: Made) -> list[str]:
    failing = min(made.hosts("failing"))
    path = next(each.drift[0] for each in made.generated if each.drift)
    missing = min(made.hosts("missing"))
    return [
        "index.html",
        "index.html#state=failing&sort=heard",
        f"host.html#{failing}",
        f"host.html#{missing}",
        "script.html#15packages",
        f"path.html#{quote('/' + path, safe='')}",
        "host.html#nobody",
    ]


# --- what it is for -----------------------------------------------------------------------------


def test_the_counts_filter_the_table_and_the_address_says_so(visit: Visit, middle: Made) -> None:
    page = visit.go("index.html")
    assert rows_said(visit) == 200
    page.click("#counts a[data-state=stale]")
    page.wait_for_function(f"{COUNT} < 100")
    assert set(hosts_shown(visit)) == middle.hosts("stale")
    assert page.evaluate("location.hash") == "#state=stale"
    assert page.get_attribute("#counts a[data-state=stale]", "aria-current") == "true"
    page.click(".filters button")
    assert rows_said(visit) == 200


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("#class=lab-b", lambda each: "lab-b" in each.classes),
        ("#state=stale,off", lambda each: each.kind in ("stale", "off")),
        ("#concern=missing:+has+never+reported", lambda each: each.kind == "missing"),
        ("#drift=1", lambda each: bool(each.drift)),
        ("#q=laptop", lambda each: "laptop" in each.host),
        ("#q=desktop+ARRIVING", lambda each: "desktop" in each.classes and each.kind == "arriving"),
        ("#system=debian13", lambda each: each.kind == "arriving"),
        ("#script=90motd", lambda each: each.kind != "missing"),
        (
            "#class=lab-b&state=failing",
            lambda each: "lab-b" in each.classes and each.kind in ("failing", "problem"),
        ),
    ],
)
def test_an_address_that_was_sent_shows_these(
    visit: Visit, middle: Made, address: str, fits: Any
) -> None:
    page = visit.go(f"index.html{address}")
    page.set_viewport_size({"width": 1280, "height": 9000})
    expected = {each.host for each in middle.generated if fits(each)}
    assert expected
    page.wait_for_function(f"{COUNT} === {len(expected)}")
    assert set(hosts_shown(visit)) == expected


def test_a_script_that_fails_can_be_asked_for(visit: Visit, middle: Made) -> None:
    page = visit.go("index.html#script=15packages&verdict=failing")
    expected = {
        pc.host
        for pc in middle.fleet.pcs
        for system in pc.systems
        for script in system.told.scripts
        if (script.name, script.state) == ("15packages", "failing")
    }
    assert set(hosts_shown(visit)) == expected
    assert page.input_value("select[name=verdict]") == "failing"


def test_filters_that_are_set_by_hand_are_in_the_address(visit: Visit) -> None:
    page = visit.go("index.html")
    page.fill("input[name=q]", "laptop")
    page.select_option("select[name=class]", "laptop")
    page.check("input[name=drift]")
    assert page.evaluate("location.hash") == "#q=laptop&class=laptop&drift=1"
    before = hosts_shown(visit)
    page.reload()
    visit.settled()
    assert hosts_shown(visit) == before


def test_what_needs_attention_is_worst_first_and_folded(visit: Visit, middle: Made) -> None:
    page = visit.go("index.html")
    states = [each.split()[0] for each in page.locator("#groups .state").all_inner_texts()]
    assert states == sorted(states, key=ATTENTION.index)
    text = page.inner_text("#groups")
    assert f"{len(middle.hosts('stale'))} PCs" in text
    assert "ssh " in text


def test_the_pictures_say_in_words_what_they_show(visit: Visit) -> None:
    page = visit.go("index.html")
    said = [each.get_attribute("aria-label") or "" for each in page.locator("#pictures svg").all()]
    assert [each.partition(":")[0] for each in said] == [
        "PCs by state",
        "Reports an hour",
        "Roll-out of common",
        "Roll-out of lab",
    ]
    assert "current" in said[0]
    assert page.locator("#pictures .area").count() > 4


@pytest.mark.parametrize("minutes", [2, 8, 45, 90, 24 * 60, 36 * 60, 7 * 24 * 60, 90 * 24 * 60])
def test_a_picture_names_times_however_short_it_is(visit: Visit, minutes: int) -> None:
    page = visit.go("index.html")
    named = page.evaluate(f"daysOf(1796135433, 1796135433 + 60 * {minutes}).map(each => each[1])")
    assert 1 <= len(named) <= 9
    assert minutes > 24 * 60 or len(set(named)) == len(named)
    assert (":" in named[0]) == (minutes <= 36 * 60)


def test_a_roll_out_stays_in_its_picture_when_pcs_leave(visit: Visit) -> None:
    page = visit.go("index.html")
    rollout = "{overlay: 'kit', changed: 0, at: [60, 120, 180], reached: [4, 4, 3], following: 3}"
    drawn = page.evaluate(f"rolloutPicture({rollout}).querySelector('path.line').getAttribute('d')")
    assert all(float(height) >= 0 for height in re.findall(r" ([\d.-]+)", drawn))


def test_what_nobody_is_any_more_is_not_counted(visit: Visit) -> None:
    page = visit.go("index.html")
    data = "{at: [0, 60], states: {failing: [1, 0], current: [2, 3]}}"
    said = page.evaluate(f"statesPicture({data}).querySelector('figcaption').textContent")
    assert said == "PCs by state now 3 current"


def test_a_host_a_script_and_a_path_have_a_page(visit: Visit, middle: Made) -> None:
    failing = min(middle.hosts("failing"))
    page = visit.go("index.html#state=failing&sort=host")
    page.get_by_role("link", name=failing).click()
    page.wait_for_selector(f"h1 >> text={failing}")
    script = page.locator("tbody th a").first.inner_text()
    assert "failing" in page.locator("tbody tr").first.inner_text()
    page.get_by_role("link", name=script).click()
    page.wait_for_selector(f"h1 >> text={script}")
    page.wait_for_selector("text=Where it is not satisfied")
    page.locator("summary").first.click()
    page.get_by_role("link", name=failing).click()
    page.wait_for_selector(f"h1 >> text={failing}")
    drifted = next(each for each in middle.generated if each.drift)
    page = visit.go(f"host.html#{drifted.host}")
    page.get_by_role("link", name=f"/{drifted.drift[0]}").click()
    page.get_by_role("link", name=drifted.host).click()
    page.wait_for_selector(f"h1 >> text={drifted.host}")


def test_a_script_that_ails_on_one_pc_alone_leads_to_that(visit: Visit) -> None:
    page = visit.go("script.html#15packages")
    group = "{state: 'failing', count: 1, hosts: 'pc07', names: ['pc07'], since: 0, why: 'exit 1'}"
    told = page.evaluate(f"groupPart({group}).outerHTML")
    assert 'href="host.html#pc07"' in told
    assert "up to" not in told
    assert "a link to each" not in told


def test_names_find_their_file_as_the_server_put_them(visit: Visit) -> None:
    page = visit.go("index.html")
    names = [*fleets.names(300), "/etc/ünïcode", "日本", "", "a" * 300, "\U0001f600"]
    found = page.evaluate("(names) => names.map(shardOf)", names)
    assert found == [as_script.shard(name) for name in names]


# --- many ---------------------------------------------------------------------------------------


def test_of_5000_only_those_in_view_are_in_the_page(browser: Chromium, large: Made) -> None:
    with browser.visit(large.place) as visit:
        page = visit.go("index.html")
        assert rows_said(visit) == 5000
        assert page.locator(ROWS).count() < 100
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
        page.click("#all thead >> text=Host")
        assert page.get_attribute("#all thead th.c-host", "aria-sort") == "ascending"
        assert page.get_attribute("#all thead th.c-state", "aria-sort") is None
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        last = f"[...document.querySelectorAll('{ROWS}')].pop()"
        page.wait_for_function(f"() => {last}.getAttribute('aria-rowindex') === '5001'")
        assert page.locator(ROWS).count() < 100
        assert hosts_shown(visit)[-1] == "srv125"
        index = page.locator(f"{ROWS} >> nth=0").get_attribute("aria-rowindex")
        assert (
            hosts_shown(visit)[0]
            == sorted(each.host for each in large.generated)[int(index or 0) - 2]
        )
        page.click("#all thead >> text=Host")
        assert page.get_attribute("#all thead th.c-host", "aria-sort") == "descending"
        page.fill("input[name=q]", "srv")
        assert rows_said(visit) == 125
    assert not visit.wrong


COLUMNS = ("Host", "State", "Why", "For", "Last change", "Heard", "System", "Classes", "By hand")


def test_each_column_sorts(visit: Visit) -> None:
    page = visit.go("index.html")
    page.set_viewport_size({"width": 1280, "height": 9000})
    for column in COLUMNS:
        head = page.locator("#all thead button", has_text=column).first
        head.click()
        once = hosts_shown(visit)
        head.click()
        assert len(once) == 200, column
        again = hosts_shown(visit)
        assert sorted(once) == sorted(again), column
        assert once != again, column


# --- the keyboard -------------------------------------------------------------------------------


def test_with_the_keyboard_alone(browser: Chromium, middle: Made) -> None:
    """To the search, to a heading that sorts, to a row, into a host, and back to the row."""
    with browser.visit(middle.place) as visit:
        page = visit.go("index.html")
        press = page.keyboard.press
        press("Tab")
        assert page.evaluate(HOST_AT) == "Skip to all PCs"
        press("Enter")
        for _ in range(40):
            press("Tab")
            if page.evaluate("() => document.activeElement.closest('thead')"):
                break
        assert page.evaluate(HOST_AT) == "Host"
        press("Enter")
        assert page.get_attribute("th.c-host", "aria-sort") == "ascending"
        assert page.evaluate(HOST_AT) == "Host", "the focus stays where it was"
        while not page.evaluate("() => document.activeElement.closest('tbody')"):
            press("Tab")
        names = sorted(each.host for each in middle.generated)
        assert page.evaluate(HOST_AT) == names[0]
        press("End")
        assert page.evaluate(HOST_AT) == names[-1]
        press("Home")
        for _ in range(60):
            press("ArrowDown")
        assert page.evaluate(HOST_AT) == names[60]
        box = page.locator(":focus").bounding_box()
        assert box and 0 <= box["y"] <= 900 - box["height"]
        press("Enter")
        visit.settled()
        assert page.inner_text("h1") == names[60]
        page.go_back()
        visit.settled()
        page.wait_for_function(f"() => document.activeElement.textContent === '{names[60]}'")
        assert page.get_attribute("th.c-host", "aria-sort") == "ascending"
    assert not visit.wrong


def test_links_within_a_page_leave_what_it_shows(visit: Visit, middle: Made) -> None:
    """What stands after # in the address is what a page shows, and not a place in it."""
    for name in a_page_of_each_kind(middle)[1:6]:
        page = visit.go(name)
        shown = page.evaluate("document.querySelector('#counts, #details').innerText")
        rows = hosts_shown(visit)
        for link in page.locator("a.within").all():
            there = (link.get_attribute("href") or "")[1:]
            link.focus()
            page.keyboard.press("Enter")
            page.wait_for_function(f"() => document.activeElement.id === '{there}'")
            assert page.url.endswith(name)
        assert page.evaluate("document.querySelector('#counts, #details').innerText") == shown
        assert hosts_shown(visit) == rows


def test_typing_in_the_search_keeps_the_focus(visit: Visit) -> None:
    page = visit.go("index.html")
    page.focus("input[name=q]")
    page.keyboard.type("lab-b off", delay=5)
    assert page.evaluate("() => document.activeElement.name") == "q"
    assert page.input_value("input[name=q]") == "lab-b off"


def test_a_row_that_scrolls_out_of_view_keeps_its_place(browser: Chromium, large: Made) -> None:
    with browser.visit(large.place) as visit:
        page = visit.go("index.html#sort=host")
        page.focus(f"{ROWS}:nth-child(4) a")
        page.evaluate("scrollBy(0, 50000)")
        page.wait_for_function("() => document.activeElement.id === 'all'")
        page.keyboard.press("ArrowDown")
        names = sorted(each.host for each in large.generated)
        page.wait_for_function(f"() => document.activeElement.textContent === '{names[3]}'")
    assert not visit.wrong


# --- for everybody ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Chromium, middle: Made, scheme: str) -> None:
    with browser.visit(middle.place, color_scheme=scheme) as visit:
        for name in a_page_of_each_kind(middle):
            visit.go(name)
            assert not visit.violations(), name
    assert visit.wrong_but_for_missing_files == []


def test_a_phone_shows_all_without_scrolling_sideways(browser: Chromium, middle: Made) -> None:
    phone = {"width": 360, "height": 740}
    with browser.visit(middle.place, viewport=phone, is_mobile=True, has_touch=True) as visit:
        for name in a_page_of_each_kind(middle):
            page = visit.go(name)
            assert page.evaluate("document.documentElement.scrollWidth") == 360, name
            assert name != "index.html" or not visit.violations(), name
    assert visit.wrong_but_for_missing_files == []


def test_a_site_that_is_too_old_says_so_in_words(browser: Chromium, tmp_path: Path) -> None:
    made = site_of(tmp_path / "site", 30, age=3 * 3600)  # made once: no pace is known
    for scheme in ("light", "dark"):
        with browser.visit(made.place, color_scheme=scheme) as visit:
            for name in ("index.html", f"host.html#{made.generated[0].host}"):
                page = visit.go(name)
                page.wait_for_selector("#made.late")
                assert page.inner_text("#made").startswith("Too old: 3 h.")
                assert not visit.violations("#made")


@pytest.mark.parametrize(
    ("every", "line"),
    [(300, "Too old: 60 min. Made 20"), (3600, "made 20")],
    ids=["often", "seldom"],
)
def test_it_is_too_old_by_the_pace_at_which_it_is_made(
    browser: Chromium, tmp_path: Path, every: int, line: str
) -> None:
    for ago in (2, 1, 0):
        made = site_of(tmp_path / "site", 3, age=3601 + ago * every)
    with browser.visit(made.place) as visit:
        page = visit.go("index.html")
        page.wait_for_selector("#made time")
        assert page.inner_text("#made").startswith(line)
        late = "It was made every 5 min before." in page.inner_text("#made")
        assert late == (page.locator("#made.late").count() > 0) == (every == 300)


def test_a_site_that_was_just_made_does_not(visit: Visit) -> None:
    page = visit.go("index.html")
    page.wait_for_selector("#made time")
    assert page.locator("#made.late").count() == 0


def test_a_page_that_was_copied_alone_says_so(
    browser: Chromium, middle: Made, tmp_path: Path
) -> None:
    shutil.copytree(middle.place, tmp_path / "site", ignore=shutil.ignore_patterns("data"))
    with browser.visit(tmp_path / "site") as visit:
        page = visit.go("index.html")
        assert "copy the whole directory" in page.inner_text("#troubles")
        assert f"{len(middle.hosts('off'))}" in page.inner_text("#counts")


def test_without_javascript_the_counts_are_there(browser: Chromium, middle: Made) -> None:
    with browser.visit(middle.place, java_script_enabled=False) as visit:
        page = visit.page
        page.goto(f"{middle.place.as_uri()}/index.html")
        text = page.inner_text("body")
        assert "needs JavaScript" in text and "allie fleet" in text
        assert f"{len(middle.hosts('stale'))}  stale" in text.replace("\n", " ") or "stale" in text
        assert "200 PCs" in text
        page.goto(f"{middle.place.as_uri()}/host.html#x")
        assert "needs JavaScript" in page.inner_text("body")


def test_printed_all_rows_are_there_or_it_says_that_they_are_not(
    browser: Chromium, middle: Made, large: Made
) -> None:
    for made, count, cut in ((middle, 200, ""), (large, 2000, "the first 2,000 of 5,000 PCs")):
        with browser.visit(made.place) as visit:
            page = visit.go("index.html")
            page.emulate_media(media="print")
            page.wait_for_function(f"{COUNT} === {count}")
            assert cut in page.inner_text("#cut")
            assert page.locator(".filters").is_hidden()
            page.emulate_media(media="screen")
            page.wait_for_function(f"{COUNT} < 100")
        assert not visit.wrong


class Quiet(SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, *_: object) -> None:
        pass


def test_from_a_web_server_it_is_the_same(browser: Chromium, middle: Made) -> None:
    handler = functools.partial(Quiet, directory=str(middle.place))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            with browser.visit(middle.place, base) as visit:
                visit.go("index.html")
                assert rows_said(visit) == 200
                page = visit.go(f"host.html#{min(middle.hosts('failing'))}")
                assert "failing" in page.inner_text("main")
        finally:
            server.shutdown()
    assert not visit.wrong


def test_paper(browser: Chromium, middle: Made) -> None:
    """As a print dialog has it: more pages than a screen of rows would fill."""
    with browser.visit(middle.place) as visit:
        page = visit.go("index.html")
        paper = page.pdf(format="A4")
        assert paper.count(b"/Type /Page\n") >= 4


def test_a_page_that_is_open_shows_what_is_new(browser: Chromium, tmp_path: Path) -> None:
    """The site is made anew under it: rows and counts change, filter and focus stay."""
    made = site_of(tmp_path / "site", 60)
    with browser.visit(made.place) as visit:
        page = visit.go("index.html#sort=host")
        host = made.generated[5].host
        page.focus(f"{ROWS} a >> text={host}")
        paused = Concern("paused", "a night's work")
        pcs = [pc._replace(worst=paused) for pc in made.fleet.pcs]
        write_with(
            made.fleet._replace(pcs=tuple(pcs), now=made.fleet.now + 60), str(made.place), []
        )
        page.evaluate("load('made', '2')")
        page.wait_for_function("() => document.querySelectorAll('#counts li').length === 1")
        assert page.inner_text("#counts") == "60  paused"
        assert page.evaluate("location.hash") == "#sort=host"
        assert page.evaluate(HOST_AT) == host
    assert not visit.wrong


# --- what PCs told is text ----------------------------------------------------------------------

EVIL = "</script><img src=x onerror=alert(1)><script>alert(2)</script>\"'`&lt;javascript:alert(3)"


def evil_report(now: float) -> bytes:
    """A report in which every text would be a program, if it were HTML."""
    generated = next(each for each in fleets.generated(50, now) if each.kind == "failing")
    value = json.loads(generated.report)

    def spoilt(each: Any, name: str = "") -> Any:
        if isinstance(each, dict):
            extra = {EVIL: [EVIL]} if name == "did" else {}
            return {**{key: spoilt(inner, key) for key, inner in each.items()}, **extra}
        if isinstance(each, list):
            return [spoilt(inner, name) for inner in each]
        return EVIL if isinstance(each, str) and name not in ("state",) else each

    value = spoilt(value)
    value["systems"][0]["changed"]["did"]["drift"] = [EVIL, f"etc/{EVIL}"]
    value["systems"][0]["problems"] = [{"path": EVIL, "message": EVIL}]
    value["systems"][0]["notes"] = [EVIL]
    value["systems"].append({"system": EVIL + "2", "trouble": EVIL, "arriving": EVIL})
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fleet]:
    now = time.time()
    generated = fleets.generated(20, now)
    evil = generated[3]._replace(report=evil_report(now), arrived=now - 60)
    fleet = fleets.judged([*generated[:3], evil, *generated[4:]], now)
    fleet = fleet._replace(troubles=(EVIL,), store=EVIL, changed={EVIL: now - 9000})
    counts = [
        each._replace(following={EVIL: 9}, changed={EVIL: now - 9000}, reached={EVIL: 3})
        for each in fleets.counted(fleet)
    ]
    events = [Event(now - 60, generated[3].host, EVIL, EVIL, EVIL, (EVIL,))]
    place = tmp_path_factory.mktemp("evil") / "site"
    write_with(fleet, str(place), counts, events)
    return place, fleet


def test_nothing_that_a_pc_told_is_run(browser: Chromium, spoilt: tuple[Path, Fleet]) -> None:
    place, fleet = spoilt
    host = fleet.pcs[3].host
    with browser.visit(place) as visit:
        for name in (
            "index.html",
            f"index.html#q={quote(EVIL)}&class={quote(EVIL)}&sort={quote(EVIL)}&state={quote(EVIL)}",
            f"host.html#{host}",
            f"script.html#{quote(EVIL[:120])}",
            f"path.html#{quote('/' + EVIL)}",
            f"host.html#{quote(EVIL)}",
            f"host.html#{EVIL}",
            "host.html#__proto__",
            "script.html#%E0%A4%A",
        ):
            page = visit.go(name)
            assert page.locator("img, iframe, object, embed").count() == 0
            assert page.locator("script:not([src])").count() == 0
            assert page.evaluate(
                "[...document.querySelectorAll('a')].every((each) => each.protocol === 'file:')"
            )
        page = visit.go(f"host.html#{host}")
        assert "<img src=x onerror=alert(1)>" in page.inner_text("main")
        page = visit.go("index.html#state=failing")
        assert "<img src=x" in page.inner_text("#groups")
    assert visit.wrong_but_for_missing_files == []


def test_only_hashes_are_names_of_files(spoilt: tuple[Path, Fleet]) -> None:
    for each in (spoilt[0] / "data").rglob("*.js"):
        assert each.stem in ("summary", "over-time", "made") or len(each.stem) == 2
