"""What the `cmpl-zoo` command does to a folder of videos: import, check, prepare and shard."""
