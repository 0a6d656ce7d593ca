"""A real browser: Debian's Chromium, headless, driven by Playwright; it may reach files alone.

Nothing is downloaded: Playwright's own browsers are not needed. Whatever a page does that it must
not (a dialog, an error, a request to anywhere but the site) is kept in `Visit.wrong`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --font-render-hinting=none"
).split()
needed = pytest.mark.skipif(not PROGRAM, reason="no Chromium: install the package chromium")


class Visit:
    """A page of a site in a window of its own."""

    def __init__(self, page: Page, site: Path, base: str) -> None:
        self.page = page
        self.site = site
        self.base = base
        self.wrong: list[str] = []
        page.on("dialog", self._dismiss)
        page.on("console", lambda said: self.wrong.append(f"console {said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error {error}"))
        page.on("request", lambda request: self._see(request.url))

    def _dismiss(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _see(self, url: str) -> None:
        if not url.startswith(self.base):
            self.wrong.append(f"request to {url}")

    @property
    def wrong_but_for_missing_files(self) -> list[str]:
        """What is wrong; a name that nobody has may have no file of details either."""
        return [each for each in self.wrong if "ERR_FILE_NOT_FOUND" not in each]

    def go(self, name: str) -> Page:
        """Open a page by its name, as index.html#state=failing."""
        self.page.goto("about:blank")  # else another # of the same page loads nothing
        self.page.goto(f"{self.base}/{name}")
        self.settled()
        return self.page

    def settled(self) -> None:
        """Wait until what the page loads is there."""
        shown = "document.querySelector('#details > *, #counts')"
        self.page.wait_for_function(f"() => {shown} && document.readyState === 'complete'")
        self.page.wait_for_function("() => !document.querySelector('head script')")

    def violations(self, within: str = "html") -> list[str]:
        """What axe finds, in an element of the page: rule and place."""
        ran = Axe().run(self.page, context=within, options={"preload": False})
        found = ran.response["violations"]
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]


class Chromium:
    """One process of it, for many visits."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.version = browser.version

    @contextmanager
    def visit(self, site: Path, base: str = "", **how: Any) -> Iterator[Visit]:
        """A window on a site. how: what Playwright's new_context takes; base: if it is no file."""
        context = self._browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "timezone_id": "UTC", **how}
        )
        try:
            yield Visit(context.new_page(), site, base or site.as_uri())
        finally:
            context.close()


@contextmanager
def started() -> Iterator[Chromium]:
    """The browser, for as long as it is wanted."""
    # the path of a socket has at most 107 bytes, of which Chromium takes 45 below TMPDIR
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as short, sync_playwright() as play:
        environment: dict[str, str | float | bool] = {**os.environ, "TMPDIR": short}
        browser = play.chromium.launch(executable_path=PROGRAM, args=_FLAGS, env=environment)
        try:
            yield Chromium(browser)
        finally:
            browser.close()
