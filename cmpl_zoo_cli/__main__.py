"""`python -m cmpl_zoo_cli`."""

import sys

from cmpl_zoo_cli.main import main

sys.exit(main())
