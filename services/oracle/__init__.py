"""The oracle: time and prices from outside, as facts."""
