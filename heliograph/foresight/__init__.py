"""Foresight: what a bill will be, what another tariff would have cost, when a holding is paid off.

Pure but for `reading.py`: the very rules of billing and repayment, over the facts of an
installation, and over questions that no fact answers. Nothing here can write.

Read `history.py` (what is known), `debt.py` (what is owed), then `what_if.py` and `forecast.py`.
"""
