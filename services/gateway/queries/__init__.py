"""Questions to the views, and the shapes that answer them. One module per area."""
