"""What became of the fleet over time: kept in STORE/fleet, bounded, and shown.

    Fleet, and what was noted of it before  ──notes──►  events and counts, appended
                                            ──since──►  what became bad or good since it was asked
                                            ──metrics─► OpenMetrics text

No view needs it but those of time. Only who is asked to (`allie fleet --site`, `--metrics`,
`--changed-since-last`, `--log`) writes here, under a lock.
"""
