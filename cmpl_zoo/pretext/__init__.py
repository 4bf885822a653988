"""Pretext tasks: what a network can learn from videos without any label, before it sees labels.

A task is one class in one file, made of three parts: `inputs` (clips of a video, and what is to be answered of them),
`head` (what stands on the network while it learns) and `loss`.
"""

from cmpl_zoo.pretext.arrow import Arrow
from cmpl_zoo.pretext.coclr import CoCLR
from cmpl_zoo.pretext.dpc import DPC
from cmpl_zoo.pretext.moco import MoCo
from cmpl_zoo.pretext.motion import Motion
from cmpl_zoo.pretext.order import Order
from cmpl_zoo.pretext.pace import Pace
from cmpl_zoo.pretext.puzzle import Puzzle
from cmpl_zoo.pretext.rotation import Rotation
from cmpl_zoo.pretext.speed import Speed
from cmpl_zoo.pretext.task import Task
from cmpl_zoo.pretext.tempo import Tempo

__all__ = [
    "DPC",
    "TASKS",
    "Arrow",
    "CoCLR",
    "MoCo",
    "Motion",
    "Order",
    "Pace",
    "Puzzle",
    "Rotation",
    "Speed",
    "Task",
    "Tempo",
]

TASKS: dict[str, type[Task]] = {
    "moco": MoCo,
    "pace": Pace,
    "arrow": Arrow,
    "rotation": Rotation,
    "speed": Speed,
    "order": Order,
    "puzzle": Puzzle,
    "dpc": DPC,
    "tempo": Tempo,
    "motion": Motion,
    "coclr": CoCLR,
}
"""The tasks by name."""
