"""`python -m dispatcher`: the same as the program `dispatcher`."""

import sys

from dispatcher.cli import main

sys.exit(main())
