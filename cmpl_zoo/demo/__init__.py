"""The demo: rendered videos of actions that differ only in motion, so that no data is needed."""
