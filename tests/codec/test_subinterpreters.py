"""Subinterpreters (PEP 734): the compiled codec is for the main interpreter; any other gets the pure twin."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters

CODE = '''
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import wscore.codec as codec
    from wscore import CLIENT, SERVER, Connection
assert codec.IMPLEMENTATION == "pure", codec.IMPLEMENTATION
assert "interpreter" in codec.LOAD_ERROR, codec.LOAD_ERROR
assert [str(one.message) for one in caught] == [
    f"wscore runs in pure Python, its compiled codec does not load: {codec.LOAD_ERROR}"
]
client, server = Connection(CLIENT), Connection(SERVER)
client.send("hello")
assert server.receive_data(client.data_to_send()) == ["hello"]
print("subinterpreter", codec.LOAD_ERROR)
'''

import wscore.codec
assert wscore.codec.IMPLEMENTATION == "native"
subinterpreter = interpreters.create()
failed = interpreters.run_string(subinterpreter, CODE)
assert failed is None, failed
interpreters.destroy(subinterpreter)
print("main", wscore.codec.mask(b"still there", b"abcd"))
"""


@pytest.mark.native
def test_a_subinterpreter_runs_on_the_pure_twin_and_says_why():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("subinterpreter ImportError")
    assert "main" in done.stdout
