"""The fleet: what all PCs have told of themselves, and judged.

    inbox/HOST/report ──inbox──► bytes ──told──► Told      what one PC says, checked and cleaned
    classes, enrolled, inboxes ──expected──► hosts         who should be there
    overlays/NAME ──overlay_changes──► times               when each was last changed
    STORE/fleet/arrivals ──arrivals──► times               when a report came that was seen before
    STORE/fleet/rhythm ──rhythm──► spans                   for how long each is usually silent
                     └──────────┬──────────┘
                              judge ──► Pc, SystemView     how each stands, why, and what to do next
                                │
                              fleet.load ──► Fleet         all of them: the one value of every view

What a PC sends is an attacker's: it is read bounded, taken apart strictly, cleaned in one place
(`told`), and never believed about another host. docs/internals/fleet.md.
"""
