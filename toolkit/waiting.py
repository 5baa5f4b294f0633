"""How threads wait for one another: asleep, so that they leave their core to whoever computes meanwhile.

PyTorch's threads wait in OpenMP, GNU's in the wheels for Linux, which spins some 300,000 times before it sleeps. A
step of training has thousands of such waits. Alone on two cores spinning gains nothing; beside others that want the
cores it takes from them, and from the very threads that are waited for, what it wastes (docs/speed.md).
The library reads its settings once, when it is loaded.
"""

import os

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, of GNU's, of LLVM's and Intel's


def wait_asleep() -> None:
    """For this process, as long as it hasn't loaded PyTorch, and all that it starts; a setting of the user's stays."""
    if not any(name in os.environ for name in POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
