"""Starts programs that were written for wsproto with this package in its place, their worker processes included.

`python -m wscore.adapters.wsproto hypercorn app:app` runs a module as `python -m` would. Without arguments, it prints
the folder that does it: `PYTHONPATH=$(python -m wscore.adapters.wsproto) hypercorn app:app`.
"""

import os
import runpy
import sys
from pathlib import Path

# Processes that are started later, in whatever way, find it first as well.
FOLDER = str(Path(__file__).with_name("instead"))


def main() -> None:
    """Run the module that the arguments name, or print the folder."""
    if len(sys.argv) < 2:
        print(FOLDER)
        return
    rest = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{FOLDER}{os.pathsep}{rest}" if rest else FOLDER
    sys.path.insert(0, FOLDER)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
