"""Tests of the ledger gateway."""
