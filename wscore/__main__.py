"""`python -m wscore` is the `wscore` command."""

import sys

from wscore.cli.main import main

sys.exit(main())
