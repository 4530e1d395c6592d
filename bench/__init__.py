"""Benchmarks: each hot path beside its raw parts, measured in the same run, printed as ratios.

Figures of different machines do not compare; ratios of one run do. Nothing here is a test of speed:
`make test` only checks that a short run works.
"""
