"""Pretext tasks: what a network can learn from videos without any label, before it sees labels.

A task is one class in one file, made of three parts: `inputs` (clips of a video, and what is to be answered of them),
`head` (what stands on the network while it learns) and `loss`.
"""
