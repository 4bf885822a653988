"""Pages that people look at: one HTML file each, which needs no server, no network and no other file."""
