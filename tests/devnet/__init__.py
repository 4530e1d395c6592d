"""Tests of the devnet."""
