"""What is measured of model files: each in a process of its own, and against the file in 16 bits."""

from __future__ import annotations

import math

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError
from inferkit.local.engines.interface import ENGINES
from inferkit.local.engines.xllamacpp.library import is_installed
from inferkit.local.measuring.bench import SpeedPlan, TextPlan, bench, labels, speed_up
from inferkit.local.measuring.loss import continuations, surprise
from inferkit.local.measuring.opening import open_model

PLAN = SpeedPlan(prompt=16, generate=4, repeats=2, threads=(1,), batches=(8,))
TEXT = TextPlan("a he the " * 40, tokens=120, places=3, context=8, count=6)


@pytest.fixture(scope="module", autouse=True)
def _one_core(one_core):
    """Models of several tests at once do not wait for each other."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def full(folder):
    return tiny_gguf.tiny(kind=tiny_gguf.F32).write(folder / "m-f32.gguf")


@pytest.fixture(scope="module")
def small(folder):
    return tiny_gguf.tiny(kind=tiny_gguf.Q8_0).write(folder / "m-q8_0.gguf")


def quietly(*_):
    pass


def test_every_file_is_measured_with_every_setting(full, small):
    seen = []
    plan = SpeedPlan(prompt=16, generate=4, repeats=2, threads=(1,), batches=(4, 16))
    found = bench([small], against=full, plan=plan, text=None, progress=lambda *step: seen.append(step))
    assert [(row.model.path, row.threads, row.batch) for row in found.speeds] == [
        (path, 1, batch) for path in (full, small) for batch in (4, 16)
    ]
    for row in found.speeds:
        assert len(row.prompts) == len(row.replies) == 2
        assert min(row.prompts + row.replies) > 0
        assert row.memory > row.model.size
    assert labels(found) == {full: "F32", small: "Q8_0"}
    slow, fast = found.speeds[0], found.speeds[2]
    assert speed_up(found, slow) is None
    assert speed_up(found, fast) == fast.generate / slow.generate, "with the same threads and batch"
    assert {total for _, _, total in seen} == {3}
    assert len({what for what, _, _ in seen}) == 4
    assert found.losses == ()


def test_the_loss_of_a_packing_is_measured_against_the_whole_file(full, small):
    found = bench([small], against=full, plan=PLAN, text=TEXT, progress=quietly)
    whole, packed = found.losses
    assert (whole.ratio, whole.same_tokens) == (None, None)
    assert whole.tokens == packed.tokens > 50
    assert whole.perplexity > 1
    assert packed.ratio == pytest.approx(packed.perplexity / whole.perplexity)
    assert packed.ratio_low <= packed.ratio <= packed.ratio_high
    assert packed.ratio == pytest.approx(1, abs=0.1), "eight bits lose little"
    assert packed.ratio != 1
    assert 0 <= packed.same_replies <= packed.same_tokens <= 1


def test_a_file_against_itself_loses_nothing(full, folder):
    copy = folder / "copy-f32.gguf"
    copy.write_bytes(full.read_bytes())
    _, same = bench([copy], against=full, plan=PLAN, text=TEXT, progress=quietly).losses
    assert (same.ratio, same.same_tokens, same.same_replies) == (1, 1, 1)


def test_both_engines_find_a_text_equally_likely(full):
    if not is_installed():
        pytest.skip("THE SECOND ENGINE WAS NOT MEASURED: xllamacpp is not installed")
    found = []
    for engine in ENGINES:
        loaded, tokens = open_model(str(full), context_length=64, batch=16, threads=1, engine=engine)
        found.append(surprise(loaded, tokens.spell(TEXT.text), 64, [1], quietly))
        loaded.close()
    assert found[0] == pytest.approx(found[1], abs=0.02)


def test_what_cannot_be_compared_is_refused(full, folder):
    other = tiny_gguf.tiny(extra=[("more", tiny_gguf.NORMAL)]).write(folder / "other.gguf")
    with pytest.raises(ConfigurationError, match=r"other.gguf has another vocabulary than .*m-f32.gguf"):
        bench([other], against=full, plan=PLAN, text=TEXT, progress=quietly)
    with pytest.raises(ConfigurationError, match=r"was trained for 128 tokens, and 321 are to be computed; .*--prompt"):
        bench([full], against=None, plan=SpeedPlan(), text=None, progress=quietly)
    with pytest.raises(ConfigurationError, match="the text has 1 tokens; 32 are the fewest"):
        bench([full], against=None, plan=PLAN, text=TextPlan("a"), progress=quietly)


class Certain:
    """An engine of four tokens that finds each one's successor a thousand times as likely as any other."""

    batch = 3

    def __init__(self):
        self.context = []

    def keep(self, length):
        del self.context[length:]
        return length

    def evaluate(self, tokens, past):
        assert past == len(self.context)
        self.context += tokens

    @property
    def logits(self):
        likely = (self.context[-1] + 1) % 4
        return [math.log(1000) if token == likely else 0.0 for token in range(4)]

    def log_sum_exp(self):
        return math.log(1003)

    def best(self):
        return (self.context[-1] + 1) % 4


def test_surprise_is_that_of_the_second_half_of_each_window():
    told = [0, 1, 2, 3] * 5
    found = surprise(Certain(), told, 8, [], quietly)
    assert found == pytest.approx([math.log(1003 / 1000)] * 8), "two whole windows of eight, half of each"
    told[6] = 0
    assert surprise(Certain(), told, 8, [], quietly)[2] == pytest.approx(math.log(1003))
    begun = surprise(Certain(), told, 8, [3], quietly)
    assert len(begun) == 8, "the token that begins a text takes a place in each"


def test_a_text_that_fills_no_window_is_one():
    assert len(surprise(Certain(), [0, 1, 2, 3, 0, 1], 512, [], quietly)) == 3


def test_continuations_begin_all_over_the_text_and_end_where_a_reply_does():
    found = continuations(
        Certain(), [0, 1, 2, 3] * 5, begin=[], places=3, context=4, count=6, ends=frozenset({2}), progress=quietly
    )
    assert found == [[0, 1, 2]] * 3
