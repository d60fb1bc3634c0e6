"""`python -m wscore.adapters.wsproto hypercorn app:app ...` runs a module or a program's entry as `python -m` would,
with this package in the place of wsproto.
"""

import runpy
import sys

from .installing import install

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m wscore.adapters.wsproto MODULE [ARGUMENTS]")
    install()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
