"""The stream tape: real exchanges, recorded as they came, and played again byte for byte, whole or broken."""

from inferkit.testing.tape.faults import CutOff, Refused, ResetAt, Stalled, Surplus
from inferkit.testing.tape.recorded import Piece, Recorded
from inferkit.testing.tape.tape import Tape

__all__ = ["CutOff", "Piece", "Recorded", "Refused", "ResetAt", "Stalled", "Surplus", "Tape"]
