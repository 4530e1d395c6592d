"""The ledger: the register of members, and per book double entry, systems and repayment."""
