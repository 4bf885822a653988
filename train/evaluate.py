"""Top-1 and top-5 accuracy of a model, or of several together, on a labeled list of videos.

python train/evaluate.py RUN/primary RUN/auxiliary --data test.csv --root DIR

The same as `cmpl-zoo evaluate`.
"""

import sys

from cmpl_zoo_cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
