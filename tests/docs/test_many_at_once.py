"""The page about many PCs, typed: real clush, over real sshd, to PCs at networks of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import MANY, sessions
from tests.docs.site_with_clush import SiteWithClush, missing
from tests.docs.test_examples import type_all

PCS = ("pc07", "pc08", "pc09", "pc10")


@pytest.mark.real
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_the_page_as_it_stands(tmp_path: Path) -> None:
    with SiteWithClush(tmp_path, PCS) as site:
        site.sure("pc09", "allie pause exam")
        said = site.sure("server", "clush -w @allie:all -b allie run-conf")
        assert "pc09\n" in said
        assert "paused: exam; nothing was changed; `allie resume` ends it\n" in said
        assert "pc07" not in said, "where all is well nothing is said"
        site.sure("server", "ssh pc09 allie resume")
        type_all(site, sessions(MANY), MANY)
        numbers = {
            pc: site.sure("server", f"ssh {pc} allie status | grep 'last tick'") for pc in PCS
        }
        before = site.sure("server", "nodeset -f @allie:failing").strip()
        assert before == ""
        site.sure("pc08", "rmdir /srv/spool && rm /root/done/60spool && allie run-conf || true")
        assert site.sure("server", "nodeset -f @allie:failing").strip() == "pc08"
        site.sure("server", "clush -w @allie:failing -b allie run-conf")
        after = {pc: site.sure("server", f"ssh {pc} allie status | grep 'last tick'") for pc in PCS}
        assert {pc for pc in PCS if numbers[pc] != after[pc]} == {"pc08"}, "it went to no other"
