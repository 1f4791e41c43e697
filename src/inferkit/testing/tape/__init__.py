"""The stream tape: real exchanges, recorded as they came, and played again byte for byte, whole or broken."""

from inferkit.testing.tape.faults import CutOff, Refused, ResetAt, Stalled, Surplus
from inferkit.testing.tape.tape import Piece, Recorded, Tape

__all__ = ["CutOff", "Piece", "Recorded", "Refused", "ResetAt", "Stalled", "Surplus", "Tape"]
