"""The pure twin of `wscore.codec.native`: same names, same order of checks, same errors. Also the oracle in the
tests.
"""
