# Holds the panel's version and nothing else of it.
from types import SimpleNamespace

g = SimpleNamespace()
g.version = "11.7.0"
