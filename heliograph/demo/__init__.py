"""The demonstration: a real season, from the meter's signature to the anchored proof."""
