"""Run Python scripts as processes of their own, without the seconds that each would take to import torch.

A line of JSON on stdin starts one: its words, its environment, the files for stdout and stderr, and how large a file it
may write. It runs in a fork of this process and in a session of its own, as `python SCRIPT ...` would but for the
libraries below, which are there already. The answer is a line with its process id and, once it has ended, one with its
exit status.
"""

import gc
import json
import os
import resource
import runpy
import sys
from pathlib import Path

import jsonargparse  # noqa: F401
import matplotlib.figure  # noqa: F401
import timm  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

REPO = Path(__file__).resolve().parents[1]
os.chdir(REPO)
gc.freeze()  # else each fork, as it ends, copies the memory of all these libraries to see what of it is garbage

for line in sys.stdin:
    call = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    os.setsid()
    if call["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (call["file_size"], call["file_size"]))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, file in ((1, call["stdout"]), (2, call["stderr"])):
        os.dup2(os.open(file, os.O_WRONLY), stream)
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = call["words"]
    sys.path[0] = str((REPO / sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
    break
