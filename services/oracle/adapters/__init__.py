"""Readers of the documents in which prices and rates stand: bytes in, models out. Pure.

Each refuses what it does not understand, with the field and the rule; nothing is guessed.
"""
