"""fstab(5): which of the running system's file systems another system of the PC mounts, too."""

from __future__ import annotations

# What belongs to a system itself: another system has its own.
_OWN = set("/ /usr /var /etc /opt /root /boot /bin /sbin /lib /lib32 /lib64 /libx32".split())
_KERNELS = set("/proc /sys /dev /run".split())
_SHARED_ALL_THE_SAME = set("/boot/efi /efi".split())  # the firmware's, one for the whole PC


class FstabLine:
    """One entry of an fstab: where from, where to, of which kind; and its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        fields = text.partition("#")[0].split()
        self.source, self.point, self.kind = (*fields[:3], "", "", "")[:3]

    @property
    def is_shared(self) -> bool:
        """Whether another system of the PC is to have it as well: /home, swap, /share."""
        if self.kind == "swap":
            return True
        if not self.point.startswith("/"):
            return False
        if self.point in _SHARED_ALL_THE_SAME:
            return True
        top = "/" + self.point.split("/")[1]
        return top not in _OWN and top not in _KERNELS


def shared(base: str) -> list[FstabLine]:
    """The entries of the base's fstab that its siblings share."""
    return [line for line in map(FstabLine, base.splitlines()) if line.source and line.is_shared]


def of_sibling(base: str, root: str) -> str:
    """The fstab of a sibling that lives in `root` (LABEL=, PARTLABEL=, or a directory)."""
    lines = ["# Written by ALLiE: this system's own root, and what it shares with the PC's others."]
    if root.startswith("/"):
        lines.append(f"# / is the directory {root} of another system: it needs no entry")
    else:
        lines.append(f"{root} / auto defaults 0 1")
    lines += [line.text.rstrip() for line in shared(base) if line.source != root]
    return "\n".join(lines) + "\n"
