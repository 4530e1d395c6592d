"""Generators: schemas, the catalogue of facts, golden files, vectors of signed messages."""
