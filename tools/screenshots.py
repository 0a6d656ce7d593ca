"""`python -m tools.screenshots`: make the pictures in docs/howto/pictures anew, of a seeded fleet.

The fleet, the time and the window are always the same, so a picture changes where the pages do.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from pathlib import Path

from allie.server.site.write import write_with
from tests.worlds import chromium, fleets

PLACE = Path(__file__).resolve().parents[1] / "docs/howto/pictures"
NOW = 1_796_130_000.0 + 5400
PCS, SEED = 70, 5
MOST = 150_000  # bytes of a picture
WIDE, PHONE = {"width": 1120, "height": 780}, {"width": 360, "height": 640}


def main() -> int:
    generated = fleets.generated(PCS, NOW, SEED)
    failing = min(each.host for each in generated if each.kind == "failing")
    # name → (page, window, colours)
    pictures = {
        "fleet-overview": ("index.html", WIDE, "light"),
        "fleet-table": ("index.html#state=off,stale,failing,behind&sort=heard", WIDE, "light"),
        "fleet-host": (f"host.html#{failing}", WIDE, "dark"),
        "fleet-phone": ("index.html", PHONE, "light"),
    }
    fleet = fleets.judged(generated, NOW)
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as site, chromium.started() as browser:
        write_with(fleet, site, fleets.counted(fleet))
        for name, (page, window, scheme) in pictures.items():
            with browser.visit(Path(site), viewport=window, color_scheme=scheme) as visit:
                visit.page.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW + 130))
                visit.go(page).screenshot(path=PLACE / f"{name}.png")
            size = (PLACE / f"{name}.png").stat().st_size
            print(f"{name}.png {size:,} bytes")
            if size > MOST or visit.wrong:
                sys.exit(f"{name}: too large, or something went wrong: {visit.wrong}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
