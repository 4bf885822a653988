"""Things that need no data: procedural videos of actions that only motion tells apart."""
