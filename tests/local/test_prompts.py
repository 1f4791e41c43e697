from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.core.errors import InvalidRequest, ModelFileError
from inferkit.local.engines.ctransformers.preflight import inspect
from inferkit.local.prompt_choice import format_of
from inferkit.local.prompts import FORMATS, Mark, checked_turns
from tiny_gguf import CONTROL, NORMAL, USER_DEFINED

TALK = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Bye")]


def written(name: str, turns=TALK) -> str:
    return "".join(f"⟨{part.text}⟩" if isinstance(part, Mark) else part for part in FORMATS[name].write(turns))


def test_chatml_marks_every_turn():
    assert written("chatml") == (
        "⟨<|im_start|>⟩system\nBe brief.⟨<|im_end|>⟩\n⟨<|im_start|>⟩user\nHi⟨<|im_end|>⟩\n"
        "⟨<|im_start|>⟩assistant\nHello.⟨<|im_end|>⟩\n⟨<|im_start|>⟩user\nBye⟨<|im_end|>⟩\n⟨<|im_start|>⟩assistant\n"
    )


def test_llama_2_puts_the_rules_into_the_first_question_and_ends_every_answer():
    assert written("llama-2") == (
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. ⟨</s>⟩⟨<s>⟩[INST] Bye [/INST]"
    )
    assert written("llama-2", [("user", "Hi")]) == "[INST] Hi [/INST]"


def test_zephyr_ends_every_turn():
    assert written("zephyr", TALK[:2]) == "<|system|>\nBe brief.⟨</s>⟩\n<|user|>\nHi⟨</s>⟩\n<|assistant|>\n"


def test_alpaca_uses_headings():
    assert written("alpaca", TALK[:2]) == "Be brief.\n\n### Instruction:\nHi\n\n### Response:\n"


def test_plain_text_stays_plain():
    assert written("plain", [("user", "Once upon")]) == "Once upon"


def test_triage_takes_the_last_question_on_one_line():
    turns = [("system", "x"), ("user", "first"), ("user", "  where\n is\tit? "), ("assistant", "y")]
    assert written("triage", turns) == "where is it?⟨<|answer|>⟩"


def test_triage_without_a_question_is_refused():
    with pytest.raises(InvalidRequest, match="answers a user's message"):
        written("triage", [("system", "x")])


def test_a_role_that_no_local_model_knows_is_refused():
    with pytest.raises(InvalidRequest, match="takes no 'tool' messages"):
        checked_turns([("user", "a"), ("tool", "b")])


def test_a_file_that_says_nothing_is_refused_with_what_may_be_stated(tmp_path):
    model = inspect(tiny_gguf.tiny(prompt_format=None).write(tmp_path / "m.gguf"))
    with pytest.raises(ModelFileError, match=r"no chat template.*prompt_format=, one of plain, chatml.*Jinja template"):
        format_of(model)
    assert format_of(model, "chatml").name == "chatml"
    assert format_of(model, "{{ messages[0].content }}").name == "template"


def test_a_form_of_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="'wrong' is unknown; set prompt_format= to one of plain"):
        format_of(inspect(tiny_gguf.tiny().write(tmp_path / "m.gguf")), "wrong")


def test_the_files_own_word_counts_more_than_its_template_and_the_users_most(tmp_path):
    spec = tiny_gguf.tiny(prompt_format="triage").set("tokenizer.chat_template", "string", "<|im_start|>")
    model = inspect(spec.write(tmp_path / "m.gguf"))
    assert format_of(model).name == "triage"
    assert format_of(model, "zephyr").name == "zephyr"


def test_a_form_whose_mark_the_vocabulary_lacks_is_refused(tmp_path):
    spec = tiny_gguf.tiny(prompt_format="triage")
    texts = [text.replace("<|answer|>", "<|other|>") for text in spec.tokens]
    spec.set("tokenizer.ggml.tokens", "array", ("string", texts))
    model = inspect(spec.write(tmp_path / "m.gguf"))
    with pytest.raises(ModelFileError, match=r"needs the control token <\|answer\|>"):
        format_of(model)


class TestSpelling:
    """What `Vocabulary.faithful` makes of the engine's tokens, without an engine."""

    @pytest.fixture
    def vocabulary(self, tmp_path):
        extra = [("<0x", NORMAL), ("<0x41", NORMAL), ("|answer", USER_DEFINED), ("<|stop|>", CONTROL)]
        self.spec = tiny_gguf.tiny(extra=extra)
        return inspect(self.spec.write(tmp_path / "m.gguf")).vocabulary

    def ids(self, *texts):
        return [self.spec.token(text) for text in texts]

    def spelled(self, vocabulary, tokens):
        return b"".join(vocabulary.pieces[token] for token in tokens)

    def test_tokens_that_spell_the_text_are_kept(self, vocabulary):
        tokens = self.ids("▁hello", "▁", "é")
        assert vocabulary.faithful(tokens, "hello é") == tokens

    def test_a_control_token_is_spelled_in_letters(self, vocabulary):
        tokens = vocabulary.faithful(self.ids("▁", "<|answer|>", "▁hello"), "<|answer|> hello")
        assert self.spelled(vocabulary, tokens) == b" <|answer|> hello"
        assert self.spec.token("<|answer|>") not in tokens
        assert tokens[-1] == self.spec.token("▁hello")

    def test_a_user_defined_piece_is_spelled_in_letters(self, vocabulary):
        tokens = vocabulary.faithful(self.ids("▁", "|answer"), "|answer")
        assert self.spelled(vocabulary, tokens) == b" |answer"
        assert self.spec.token("|answer") not in tokens

    def test_the_name_of_a_byte_is_not_the_byte(self, vocabulary):
        tokens = vocabulary.faithful(self.ids("▁", "<0x41>"), "<0x41>")
        assert self.spelled(vocabulary, tokens) == b" <0x41>"

    def test_a_reserved_token_is_spelled_even_if_its_type_is_ordinary(self, vocabulary):
        reserved = self.ids("th")
        tokens = vocabulary.faithful(self.ids("▁", "th"), "th", reserved)
        assert tokens == self.ids("▁", "t", "h")

    def test_what_the_engine_left_out_is_added(self, vocabulary):
        tokens = vocabulary.faithful(self.ids("▁a"), "a\0b😀")
        assert self.spelled(vocabulary, tokens) == " a\0b😀".encode()

    def test_tokens_of_another_text_are_replaced(self, vocabulary):
        assert vocabulary.faithful(self.ids("▁hello", "a"), "an") == self.ids("▁", "a", "n")

    def test_a_space_mark_of_the_users_counts_as_a_space(self, vocabulary):
        tokens = self.ids("▁", "▁", "a")
        assert vocabulary.faithful(tokens, "▁a") == tokens

    def test_what_cannot_be_encoded_becomes_a_question_mark(self, vocabulary):
        assert self.spelled(vocabulary, vocabulary.faithful([], "\ud800")) == b" ?"

    def test_pieces_of_control_tokens_are_never_shown(self, vocabulary):
        assert {vocabulary.pieces[token] for token in self.ids("<s>", "</s>", "<|stop|>")} == {b""}
        assert vocabulary.pieces[self.spec.token("<unk>")] == "�".encode()
