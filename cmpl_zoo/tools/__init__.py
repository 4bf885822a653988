"""Tools for a folder of videos, behind the verbs of `cmpl-zoo`: import, check, prepare and shard."""
