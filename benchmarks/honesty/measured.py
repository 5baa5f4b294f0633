"""What a simulation with known truth says of one printed number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """One printed number, as it was made before and as it is made now.

    key: in the JSON; what: in a few words. A bias is in points (hundredths of the metric), a coverage or rate a share;
    the errors are standard errors of the simulation. target: what is asked, in words.
    """

    key: str
    what: str
    old: float
    old_error: float
    new: float
    new_error: float
    target: str
