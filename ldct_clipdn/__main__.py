"""`python -m ldct_clipdn` is `ldct-clipdn`."""

import sys

from ldct_clipdn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
