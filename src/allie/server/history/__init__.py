"""What became of the fleet over time: kept in STORE/fleet, bounded, and shown.

    Fleet, and what was noted of it before  ──notes──►  Events and Counts, kept by journal
              Events  ──folded──►  the lines of --log
    Fleet, and what was told before  ──news──►  what became bad or good since it was asked
               Fleet  ──metrics──►  OpenMetrics text

No view needs it but those of time. Only who is asked to (`allie fleet --site`, `--metrics`,
`--changed-since-last`, `--log`) writes here, under a lock.
"""
