"""Views: for each fact the rows that follow from it. Pure functions, one module per area."""
