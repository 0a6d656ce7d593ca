"""`allie fleet --timer` on a server with a real systemd: shut in, it makes what it is to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.test_doors_booted import Server
from tests.server.test_fleet_history import failing, report

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
STAGE = """\
said init allie store init
mkdir -p /srv/allie/inbox/pc07 /srv/www /var/lib/node
cp /report /srv/allie/inbox/pc07/report
chown -R 64321 /srv/allie/inbox/pc07; chmod 700 /srv/allie/inbox/pc07
said timer allie fleet --site /srv/www/fleet --metrics /var/lib/node/allie.prom --timer
rm /var/lib/node/allie.prom
said now systemctl start allie-fleet.service
said timers systemctl list-timers --no-pager
said made cat /var/lib/node/allie.prom
said site ls -la /srv/www/fleet
said log ls /srv/allie/fleet
said journal journalctl --no-pager -o cat -u allie-fleet
said exposed systemd-analyze security --no-pager allie-fleet.service
said again allie fleet --site /srv/www/fleet --metrics /var/lib/node/allie.prom --timer --every 7min
said pace systemctl cat allie-fleet.timer
said failed systemctl --failed --no-legend --no-pager
said remove allie fleet --timer --remove
said left ls /etc/systemd/system
said stays ls /var/lib/node /srv/www/fleet
"""


@pytest.mark.timeout(1200)  # the first time the Debian is made by mmdebstrap
def test_the_timer_at_work(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    (server.root / "report").write_bytes(report(3, **failing("20packages")))

    said = server.boot(STAGE)
    for step in ("init", "timer", "now", "again", "remove"):
        assert said[step][1] == 0, said[step]
    assert "wrote /etc/systemd/system/allie-fleet.service\n" in said["timer"][0]
    assert "allie-fleet.timer" in said["timers"][0]
    assert 'allie_host_attention{host="pc07",state="failing"} 1\n' in said["made"][0]
    assert "index.html" in said["site"][0]
    assert {"known", "counts"} <= set(said["log"][0].split())
    assert "warning" not in said["journal"][0] and "allie:" not in said["journal"][0]
    level = said["exposed"][0].rpartition("allie-fleet.service: ")[2].split()[0]
    assert float(level) < 3, "of ten, by systemd's own measure"
    assert "OnUnitInactiveSec=7min" in said["pace"][0]
    assert said["failed"][0] == ""
    assert not [name for name in said["left"][0].split() if name.startswith("allie-fleet")]
    assert "allie.prom" in said["stays"][0] and "index.html" in said["stays"][0]
