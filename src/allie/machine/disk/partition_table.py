"""The partitions of a disk, as its table has them: read by sfdisk(8)."""

from __future__ import annotations

import json

from allie.core.value import Value
from allie.machine.programs import process


class Partition(Value):
    """A partition as a disk's table has it."""

    node: str  # its device file
    name: str  # its PARTLABEL; "" where the table has no names
    kind: str  # its type: with GPT a GUID in capitals
    start: int  # in sectors, as is size
    size: int
    sector: int  # bytes of one

    @property
    def mib(self) -> int:
        """Its size in MiB."""
        return self.size * self.sector >> 20


def read(disk: str) -> list[Partition]:
    """The partitions of a disk, in the order of its table; [] if it has none."""
    finished = process.run(["sfdisk", "--json", disk])
    if finished.code:
        return []
    table = json.loads(finished.out)["partitiontable"]
    sector = table.get("sectorsize", 512)
    found = []
    for each in table.get("partitions", ()):
        node, name, kind = each["node"], each.get("name", ""), each["type"].upper()
        found.append(Partition(node, name, kind, each["start"], each["size"], sector))
    return found
