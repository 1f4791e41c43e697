"""Writes the trained network as GGUF, in full precision or quantised."""

import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind, LlamaFileType, TokenType
from gguf.quants import dequantize, quantize

from .frame import Frame
from .network import Network, Shape
from .vocabulary import BOS, EOS, FIRST_BYTE, UNK, Vocabulary

FILE_TYPES = {
    Kind.F32: LlamaFileType.ALL_F32,
    Kind.F16: LlamaFileType.MOSTLY_F16,
    Kind.Q8_0: LlamaFileType.MOSTLY_Q8_0,
    Kind.Q5_1: LlamaFileType.MOSTLY_Q5_1,
    Kind.Q4_0: LlamaFileType.MOSTLY_Q4_0,
}


def load(path: Path) -> Network:
    """The network of a training run, ready to answer."""
    with np.load(path, allow_pickle=False) as kept:
        model = Network(Shape(**json.loads(str(kept["shape"]))))
        model.load_state_dict({name: torch.from_numpy(kept[name]) for name in kept.files if name != "shape"})
    return model.eval()


def save(model: Network, path: Path) -> None:
    """Writes a network as plain arrays."""
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    np.savez(path, allow_pickle=False, shape=json.dumps(model.shape.record()), **weights)


def read(path: Path, frame: Frame, dropout: float = 0.0) -> tuple[Network, Vocabulary]:
    """The network and the vocabulary of a file, to train it further or to measure it."""
    file = gguf.GGUFReader(path)
    weights = {
        tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32))
        for tensor in file.tensors
    }

    def number(name: str) -> int:
        return int(file.fields[f"llama.{name}"].contents())

    size, width = weights["token_embd.weight"].shape
    shape = Shape(
        size, width,
        number("feed_forward_length"), number("block_count"), number("attention.head_count"),
        number("context_length"), dropout,
    )  # fmt: skip
    model = Network(shape)
    model.load_state_dict(weights)
    return model, Vocabulary.of(file.fields["tokenizer.ggml.tokens"].contents(), frame)


def _token_type(token: int, vocabulary: Vocabulary) -> TokenType:
    if token == UNK:
        return TokenType.UNKNOWN
    if token in (BOS, EOS, vocabulary.answer_id):
        return TokenType.CONTROL
    return TokenType.BYTE if FIRST_BYTE <= token < FIRST_BYTE + 256 else TokenType.NORMAL


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself. `schema` is that of its answers, to which `Local` then holds it."""

    name: str
    description: str
    licence: str | None = None
    schema: dict[str, object] | None = None


def write(model: Network, vocabulary: Vocabulary, path: Path, kind: Kind, about: About) -> None:
    """Writes one file; norms stay in full precision."""
    shape = model.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(about.name)
    writer.add_description(about.description)
    if about.licence is not None:
        writer.add_license(about.licence)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_string("inferkit.prompt_format", "triage")
    if about.schema is not None:
        writer.add_string("inferkit.answer_schema", json.dumps(about.schema))
    tokens = range(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([vocabulary.pieces[token].encode() for token in tokens])
    writer.add_token_scores([vocabulary.score(token) for token in tokens])
    writer.add_token_types([_token_type(token, vocabulary) for token in tokens])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNK)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    for name, weight in model.state_dict().items():
        values = weight.float().numpy()
        if values.ndim == 1 or kind is Kind.F32:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
