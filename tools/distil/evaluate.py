"""Answers to held-out messages: in PyTorch before quantising, in the engine that ships after it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from inferkit import Client, Local
from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama

from .dataset import Example
from .gate import Scores
from .network import Network
from .vocabulary import BOS, EOS, Vocabulary

LONGEST = 160
"""More tokens than this are no answer."""
Answerer = Callable[[list[int]], list[int]]
"""From the tokens of a prompt to those of the answer."""


def in_torch(model: Network, draft: Answerer) -> Answerer:
    """Greedy answers of the network before it is written.

    The answer of another model is checked in one pass, and where the two part the network goes on alone: the
    outcome is the network's own, sooner.
    """

    @torch.no_grad()
    def answer_to(prompt: list[int]) -> list[int]:
        start = len(prompt)
        tokens = prompt + draft(prompt)
        best = model(torch.tensor([tokens]))[0].argmax(-1).tolist()
        for at in range(start, len(tokens)):
            if tokens[at] != best[at - 1]:
                tokens = [*tokens[:at], best[at - 1]]
                break
        while len(tokens) < start + LONGEST and tokens[-1] != EOS:
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        return tokens[start:]

    return answer_to


def in_engine(path: Path) -> Answerer:
    """Greedy answers of a file through the engine."""
    engine = Llama(find_library(gpu=False), path, context_length=512, batch=512, threads=1)

    def answer_to(prompt: list[int]) -> list[int]:
        out: list[int] = []
        engine.evaluate(prompt, 0)
        while len(out) < LONGEST:
            out.append(engine.best())
            if out[-1] == EOS:
                break
            engine.evaluate(out[-1:], len(prompt) + len(out) - 1)
        return out

    return answer_to


def differences_in_tokens(path: Path, vocabulary: Vocabulary, texts: Iterable[str]) -> int:
    """How many texts the engine cuts differently from the encoder that training used."""
    engine = Llama(find_library(gpu=False), path, context_length=64, batch=8, threads=1)
    return sum(engine.tokenize(text.encode()) != vocabulary.encode(text) for text in texts)


def answers(answer_to: Answerer, messages: Iterable[str], vocabulary: Vocabulary) -> Iterator[str]:
    """The answers to messages, as text."""
    for message in messages:
        yield vocabulary.decode(answer_to([BOS, *vocabulary.encode(message), vocabulary.answer_id]))


def served(path: Path, messages: Iterable[str]) -> Iterator[str]:
    """The answers of a file as an application gets them: through `Local`, held to the form that the file states."""
    local = Local(path, threads=1)
    with Client(providers={"own": local}, models={"student": "own:student"}, cache=False, ledger=False) as llm:
        for message in messages:
            yield llm.complete("student", message, max_output_tokens=LONGEST).text


def scores(examples: Iterable[Example], texts: Iterable[str]) -> Scores:
    """How many fields come out right."""
    found = Scores()
    for one, text in zip(examples, texts, strict=True):
        found.add(one, text)
    return found
