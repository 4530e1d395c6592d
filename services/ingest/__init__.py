"""Ingest: signed meter reports in, readings as facts out."""
