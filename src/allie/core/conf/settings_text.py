"""allie.conf as ALLiE writes it: the whole file, and one system's section of it. Pure."""

from __future__ import annotations

from allie.core.conf.settings import DEFAULT_KEX, DEFAULT_STALL, Declared, Settings


def render(settings: Settings) -> str:
    """The allie.conf that `join` writes: everything spelled out, nothing to guess."""
    lines = ["[allie]", f"store = {', '.join(settings.stores)}"]
    lines += [f"{key} = {value}" for key, value in _chosen(settings)]
    own = Declared(settings.system, settings.root, settings.image, settings.overlays)
    return "\n".join(["\n".join(lines) + "\n", *map(section, (own, *settings.others))])


def _chosen(settings: Settings) -> list[tuple[str, str]]:
    chosen = [("own", settings.own), ("key", settings.key)]
    if settings.kex != DEFAULT_KEX:
        chosen.append(("kex", settings.kex))
    chosen += [("ring", settings.ring), ("host", settings.host), ("bandwidth", settings.bandwidth)]
    if settings.stall != DEFAULT_STALL:
        chosen.append(("stall", str(settings.stall)))
    chosen.append(("trusted", ", ".join(settings.trusted)))
    return [(key, value) for key, value in chosen if value]


def section(declared: Declared) -> str:
    """The section of allie.conf that declares a system."""
    lines = [f"[system {declared.name}]"]
    if declared.root:
        lines.append(f"root = {declared.root}")
    if declared.image:
        lines.append(f"image = {declared.image}")
    if declared.overlays:
        lines.append(f"overlays = {', '.join(declared.overlays)}")
    return "\n".join(lines) + "\n"


def without(text: str, system: str) -> str:
    """The same allie.conf without the section of a system; every other line stays as it is."""
    kept = []
    ours = False
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            ours = " ".join(line.partition("]")[0][1:].split()) == f"system {system}"
        if not ours:
            kept.append(line)
    return "".join(kept)
