"""`python -m jbackprop`: see `jbackprop._cli`."""

import sys

from ._cli import main

sys.exit(main(sys.argv[1:]))
