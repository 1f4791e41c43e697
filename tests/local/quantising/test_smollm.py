"""A real model of today's kind, made smaller and measured: it still answers, and the figures say what that cost."""

from __future__ import annotations

import pytest

from inferkit import Client
from inferkit.local.finding import find_model
from inferkit.local.gguf.container import read_container
from inferkit.local.measuring.bench import SpeedPlan, TextPlan, bench
from inferkit.local.quantising.quantise import quantise
from smollm import NAME, need_smollm

TEXT = (
    "The parcel came on Monday, a week later than you said. The lid of the blue kettle is cracked, and the cable is "
    "too short for our kitchen. I would like to send it back, and to have my money returned to the card I paid with. "
)


@pytest.fixture(scope="module", autouse=True)
def _one_core(one_core):
    """Models of several tests at once do not wait for each other."""


def test_a_real_model_in_fewer_bits_answers_and_its_loss_is_measured(tmp_path):
    need_smollm()
    source = find_model(NAME)
    (made,) = quantise(source, ["q4_k_m"], folder=tmp_path, requantise=True, progress=lambda *_: None)
    tensors = read_container(made.path).tensors
    assert tensors["blk.1.ffn_down.weight"].type.name in ("Q4_K", "Q6_K"), "rows of 1,536 numbers are six blocks of 256"
    assert tensors["blk.1.attn_q.weight"].type.name == "Q5_0", "rows of 576 fill none, and are packed the next best way"
    assert tensors["token_embd.weight"].type.name == "Q8_0", "which gives the scores, too"
    with Client(models={"m": f"local:{made.path}"}, ledger=False, cache=False) as llm:
        assert llm.complete("m", "Say hello.", max_output_tokens=20).text.startswith("Hello")
    plan = SpeedPlan(prompt=16, generate=4, repeats=1, threads=(1,))
    text = TextPlan(TEXT, tokens=64, places=2, context=16, count=8)
    whole, packed = bench([made.path], against=source, plan=plan, text=text, progress=lambda *_: None).losses
    assert 2 < whole.perplexity < 100
    assert packed.ratio == pytest.approx(1, abs=0.1)
    assert packed.same_tokens > 0.2
