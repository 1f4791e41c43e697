"""How weights are packed in a file: the kinds of packing that the engine computes with, by their numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TENSOR_TYPES", "TensorType"]


@dataclass(frozen=True, slots=True)
class TensorType:
    """How weights are packed: `block` values in `size` bytes."""

    name: str
    block: int
    size: int


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
}
"""The packings that the engine computes with, by their number in the file."""
