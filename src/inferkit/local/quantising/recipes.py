"""Which tensor of a model is packed how, for each kind of file that can be asked for.

The kinds and their mixtures are llama.cpp's, so that a file of a name is what people expect of it: the scores at the
end are packed finer than the rest, in the K kinds some blocks are, too, and what no packing fits stays in 16 bits.
https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.local.gguf.packing import TENSOR_TYPES, TYPE_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferkit.local.gguf.container import Container, Tensor

__all__ = ["RECIPES", "Recipe", "assign", "recipe"]

_SCORES = "output.weight"
_EMBEDDING = "token_embd.weight"
_PART = re.compile(r"blk\.(\d+)\.(attn_v|attn_qkv|attn_output|ffn_down)")
_WHOLE = re.compile(
    r"_norm\.|\bnorm\.|ffn_gate_inp|position_embd|token_types|ssm_|shortconv|time_mix|rel_b|altup|laurel|per_layer"
)
"""Names of what is kept as it is: small, and what the rest depends on."""

_INSTEAD = {
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ4_XS": "IQ4_NL",
}
"""What is taken where a row's length is no multiple of a packing's block."""

_SIXTEEN_BITS = "F16"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of file: its number in `general.file_type`, what most weights are packed as, and what some parts are.

    `finer` is for a part of every block, `finer_in_some` for a part of about half of the blocks.
    """

    name: str
    number: int
    packing: str
    scores: str
    finer: Mapping[str, str] = field(default_factory=dict)
    finer_in_some: Mapping[str, str] = field(default_factory=dict)


def _plain(name: str, number: int, scores: str = "Q6_K") -> Recipe:
    return Recipe(name, number, name.upper(), scores)


RECIPES = {
    one.name: one
    for one in (
        Recipe("f16", 1, "F16", "F16"),
        Recipe("bf16", 32, "BF16", "BF16"),
        _plain("q8_0", 7, "Q8_0"),
        Recipe("q6_k", 18, "Q6_K", "Q6_K"),
        Recipe(
            "q5_k_m", 17, "Q5_K", "Q6_K", {"attn_qkv": "Q6_K"}, finer_in_some={"attn_v": "Q6_K", "ffn_down": "Q6_K"}
        ),
        _plain("q5_1", 9),
        _plain("q5_0", 8),
        Recipe(
            "q4_k_m", 15, "Q4_K", "Q6_K", {"attn_qkv": "Q5_K"}, finer_in_some={"attn_v": "Q6_K", "ffn_down": "Q6_K"}
        ),
        _plain("q4_1", 3),
        _plain("q4_0", 2),
        _plain("iq4_nl", 25),
        _plain("iq4_xs", 30),
        Recipe(
            "q3_k_m",
            12,
            "Q3_K",
            "Q6_K",
            {"attn_v": "Q4_K", "attn_qkv": "Q4_K", "attn_output": "Q4_K"},
            finer_in_some={"ffn_down": "Q4_K"},
        ),
    )
}
"""Every kind that can be asked for, by its name."""


def recipe(name: str) -> Recipe:
    """Give the recipe of a name, in capitals or not. Raises `ConfigurationError`."""
    found = RECIPES.get(name.strip().lower())
    if found is None:
        raise ConfigurationError(f"there is no quantisation {name!r} here; the kinds are: {', '.join(RECIPES)}")
    return found


def assign(container: Container, kind: Recipe) -> dict[str, str]:
    """Say how each tensor is to be packed, by its name."""
    tied = _SCORES not in container.tensors
    blocks = 1 + max((int(found[1]) for name in container.tensors if (found := _PART.match(name))), default=0)
    return {
        tensor.name: _packing(tensor, kind, blocks, scores=_EMBEDDING if tied else _SCORES)
        for tensor in container.tensors.values()
    }


def _packing(tensor: Tensor, kind: Recipe, blocks: int, *, scores: str) -> str:
    if len(tensor.shape) == 1 or not tensor.name.endswith(".weight") or _WHOLE.search(tensor.name):
        return tensor.type.name
    if tensor.name == scores:
        return _fitting(kind.scores, tensor.shape)
    found = _PART.match(tensor.name)
    wanted = kind.packing
    if found is not None:
        block, part = int(found[1]), found[2]
        wanted = kind.finer.get(part, wanted)
        if part in kind.finer_in_some and _is_finer(block, blocks):
            wanted = kind.finer_in_some[part]
    return _fitting(wanted, tensor.shape)


def _is_finer(block: int, blocks: int) -> bool:
    """Say whether a block is among those that more bits are spent on: the first and last eighth, and every third."""
    eighth = blocks // 8
    return block < eighth or block >= 7 * blocks // 8 or (block - eighth) % 3 == 2  # noqa: PLR2004 - the third of three


def _fitting(packing: str, shape: Sequence[int]) -> str:
    """Give a packing, or the nearest one whose blocks fit into a row."""
    while shape[0] % TENSOR_TYPES[TYPE_NUMBERS[packing]].block:
        packing = _INSTEAD.get(packing, _SIXTEEN_BITS)
    return packing
