"""What `import wsproto` finds where this folder stands first on the path: it gives its own place to the adapter."""

import sys

from wscore.adapters.wsproto import install

del sys.modules[__name__]
install()
