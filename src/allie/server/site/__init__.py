"""The fleet as a static site: pages that open from a file, with data beside them.

    Fleet ──summary──► one row a PC; what needs attention; scripts and paths    data/summary.js
          ──details──► all of a host, a script, a path that drifts              data/{h,s,p}/NN.js
    Counts ─over_time─► how the fleet stood                                     data/over-time.js
                          └──as_script──► bytes ──write──► files, where they are new

The pages themselves are `assets/`; what is made by a browser (ages, rows, pictures) is done there.
Text of a report is JSON in all files, and in no page. docs/howto/fleet-site.md.
"""
