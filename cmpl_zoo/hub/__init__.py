"""Model directories: saving them, and publishing them on the Hugging Face Hub."""

from cmpl_zoo.hub.publishing import push
from cmpl_zoo.hub.saving import save

__all__ = ["push", "save"]
