"""From the winners to a plan, and what is written down of it: intent, ledger, report."""
