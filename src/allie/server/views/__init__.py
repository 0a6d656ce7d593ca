"""The fleet as text and as JSON: whom is asked for, all in groups, one PC, one script.

    Fleet, and what was asked for  ──selection──►  the PCs that are meant
                                   ──overview───►  a line for each group of equals, then concerns
                                   ──one_pc─────►  everything about one
                                   ──one_script─►  who has a script in which state
                                   ──exchange───►  JSON, a line for each PC
                                   ──groups─────►  names of groups, for ClusterShell

A view is lines: whoever prints them paints and escapes them. docs/reference/fleet.md.
"""
