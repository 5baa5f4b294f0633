"""What code and zips may try that are handed in, and what must come of each: one list, for tests and for counting.

`python -m benchmarks.faults --only attacks` counts what comes of all of them.
"""

from tests.submission import broken_code, hostile_code, odd_zips

ATTACKS = {**broken_code.ATTACKS, **hostile_code.ATTACKS, **odd_zips.ATTACKS}
assert len(ATTACKS) == len(broken_code.ATTACKS) + len(hostile_code.ATTACKS) + len(odd_zips.ATTACKS)
