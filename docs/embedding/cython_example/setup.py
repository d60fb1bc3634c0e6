"""Builds the example: `pip install .`, in an environment that has wscore, Cython, setuptools and a C compiler."""

from Cython.Build import cythonize
from setuptools import Extension, setup

# Cython finds the .pxd files of wscore where Python finds wscore.
setup(name="tally", version="1", ext_modules=cythonize([Extension("tally", ["tally.pyx"])], quiet=True))
