"""The codec and the protocol inside other people's servers: one module for each library, imported by its own name.

`wscore.adapters.uvicorn` has the class that `uvicorn --ws` takes. An adapter imports the codec, the protocol layer and
the library that it is for; nothing of wscore imports an adapter.
"""
