"""The compiled twin of `wscore.codec.pure`: same names, same order of checks, same errors."""
