"""What a model answers, over a real worker process and real model files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, InvalidRequest, ModelFileError
from inferkit.local.errors import ContextOverflow, EngineUnavailable
from local_calls import ask, finish
from tiny_gguf import NORMAL


class TestReplies:
    def test_a_model_says_what_its_weights_say(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "▁the", "▁hello", "lo", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert reply.text == " the hellolo"
        assert reply.end["end"] == "stop"

    def test_tokens_are_counted(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "▁the", "▁hello", "lo", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert (reply.end["prompt"], reply.end["cached"], reply.end["output"]) == (2, 0, 4)

    def test_a_reply_ends_at_its_token_limit(self, start, endless_path):
        reply = ask(start(endless_path), "a", max_tokens=7)
        assert (reply.text, reply.end["end"], reply.end["output"]) == ("bcccccc", "length", 7)

    def test_a_reply_ends_where_the_context_is_full(self, start, tmp_path):
        path = tiny_gguf.scripted(["▁a", "b", "c"], context=16).write(tmp_path / "m.gguf")
        reply = ask(start(path), "a", max_tokens=1000)
        assert (reply.end["end"], reply.end["output"]) == ("length", 14)

    def test_a_character_of_several_tokens_comes_whole(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "b", "</s>"])
        reply = ask(start(spec.write(tmp_path / "m.gguf")), "a")
        assert reply.texts == ["😀", "b"]

    def test_a_character_cut_by_the_limit_is_replaced_and_not_dropped(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "</s>"])
        assert ask(start(spec.write(tmp_path / "m.gguf")), "a", max_tokens=3).text == "b�"

    def test_a_stop_sequence_across_tokens_ends_the_reply_before_it(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c", "d", "e", "f", "</s>"])
        supervisor = start(spec.write(tmp_path / "m.gguf"))
        reply = ask(supervisor, "a", stop=["de"])
        assert (reply.text, reply.end["end"], reply.end["output"]) == ("bc", "stop", 4)
        assert ask(supervisor, "a", stop=["dx", "fg"]).text == "bcdef"

    def test_messages_are_written_in_the_files_own_form(self, start, tmp_path):
        chain = ["<|answer|>", "{", "}", "</s>"]
        supervisor = start(tiny_gguf.scripted(chain, prompt_format="triage").write(tmp_path / "m.gguf"))
        reply = finish(supervisor.open({"messages": [["system", "x"], ["user", "hello  the\nend"]]}))
        assert (reply.text, reply.start["start"]["format"]) == ("{}", "triage")
        counted = finish(supervisor.open({"op": "count", "messages": [["user", "hello the end"]]}))
        assert counted.end["count"] == reply.end["prompt"]

    def test_text_that_reads_like_a_control_token_is_spelled_out(self, start, engine, tmp_path):
        extra = [
            ("|an", NORMAL),
            ("<|an", NORMAL),
            ("sw", NORMAL),
            ("swer", NORMAL),
            ("<|answer", NORMAL),
            ("|>", NORMAL),
        ]
        spec = tiny_gguf.scripted(["<|answer|>", "{", "</s>"], prompt_format="triage", extra=extra)
        supervisor = start(spec.write(tmp_path / "m.gguf"))
        reply = finish(supervisor.open({"messages": [["user", "<|answer|>"]]}))
        spelled = {"ctransformers": len("▁<|answer|>"), "xllamacpp": 5}[engine]
        assert reply.end["prompt"] == 1 + spelled + 1
        assert reply.text == "{"

    @pytest.mark.parametrize(
        "text", ["Q Z", "😀 emoji 👩‍👩‍👧", "\0", "a\0b", "\ud800", "", " ", "▁", "x" * 60, "é" * 40]
    )
    def test_any_text_is_taken(self, tiny_supervisor, text):
        reply = ask(tiny_supervisor, text, max_tokens=2)
        assert reply.end["output"] >= 1
        assert reply.end["prompt"] <= 2 + len(text.encode("utf-8", "replace"))

    def test_a_mark_that_the_vocabulary_lacks_is_spelled(self, start, tmp_path):
        spec = tiny_gguf.tiny(prompt_format="chatml", context=256)
        with_marks = start(spec.write(tmp_path / "with.gguf"))
        texts = [text.replace("<|im_", "<|in_") for text in spec.tokens]
        without = start(spec.set("tokenizer.ggml.tokens", "array", ("string", texts)).write(tmp_path / "without.gguf"))
        counts = [
            finish(supervisor.open({"op": "count", "messages": [["user", "a"]]})).end["count"]
            for supervisor in (with_marks, without)
        ]
        letters = 2 * (len(" <|im_start|>") - 1) + len(" <|im_end|>") - 1
        assert counts[0] < counts[1] <= counts[0] + letters


class TestBias:
    def test_a_token_is_made_likelier_or_left_out_by_its_number_or_its_text(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c", "d", "</s>"])
        supervisor = start(spec.write(tmp_path / "m.gguf"))
        number = str(spec.token("d"))
        assert ask(supervisor, "a").text == "bcd"
        assert ask(supervisor, "a", logit_bias={number: 50}, max_tokens=3).text == "ddd"
        assert ask(supervisor, "a", logit_bias={number: 50}, max_tokens=3, temperature=0.5, seed=1).text == "ddd"
        without = ask(supervisor, "a", logit_bias={"b": -100}, max_tokens=20).text
        assert "b" not in without
        assert without != "cd"

    @pytest.mark.parametrize("bias", [{"999999": 1}, {"1": 101}, {"1": "x"}, [1]])
    def test_a_bias_that_makes_no_sense_is_refused(self, tiny_supervisor, bias):
        with pytest.raises(InvalidRequest, match="logit_bias"):
            ask(tiny_supervisor, "a", logit_bias=bias)


class TestPrefix:
    def test_a_follow_up_reuses_what_was_computed_and_says_the_same(self, start, tiny_path):
        fresh = ask(start(tiny_path), "hello the world of", max_tokens=20)
        supervisor = start(tiny_path)
        ask(supervisor, "hello the world", max_tokens=5)
        again = ask(supervisor, "hello the world of", max_tokens=20)
        assert fresh.end["cached"] == 0
        assert again.end["cached"] > 3
        assert again.text == fresh.text

    def test_the_end_of_a_repeated_prompt_is_computed_again(self, start, engine, tiny_path):
        supervisor = start(tiny_path)
        first = ask(supervisor, "hello the world", max_tokens=20)
        again = ask(supervisor, "hello the world", max_tokens=20)
        assert again.end["cached"] == again.end["prompt"] - {"ctransformers": 1, "xllamacpp": 2}[engine]
        assert again.text == first.text

    def test_a_prompt_longer_than_a_batch_is_evaluated_in_parts(self, start, tmp_path):
        path = tiny_gguf.tiny(context=1024).write(tmp_path / "m.gguf")
        text = "hello the " * 150
        one = ask(start(path), text, max_tokens=10)
        supervisor = start(path)
        ask(supervisor, text[:500], max_tokens=3)
        two = ask(supervisor, text, max_tokens=10)
        assert one.end["prompt"] > 512
        assert two.end["cached"] > 100
        assert two.text == one.text


class TestSeeds:
    def test_the_same_seed_gives_the_same_text_in_any_state_of_the_cache(self, start, tiny_path):
        options = {"temperature": 1.5, "seed": 42, "max_tokens": 30}
        fresh = ask(start(tiny_path), "hello the", **options)
        supervisor = start(tiny_path)
        texts = set()
        for other in ("hello", "the end", "hello the"):
            ask(supervisor, other, max_tokens=9, temperature=1.0)
            texts.add(ask(supervisor, "hello the", **options).text)
        assert texts == {fresh.text}

    def test_another_seed_gives_another_text(self, start, tiny_path):
        supervisor = start(tiny_path)
        texts = {ask(supervisor, "hello", temperature=1.5, seed=n, max_tokens=30).text for n in range(3)}
        assert len(texts) == 3

    def test_without_a_seed_the_one_that_was_drawn_is_told_and_repeats_the_text(self, start, tiny_path):
        supervisor = start(tiny_path)
        first = ask(supervisor, "hello", temperature=1.5, max_tokens=30)
        again = ask(supervisor, "hello", temperature=1.5, max_tokens=30, seed=first.end["seed"])
        assert again.text == first.text

    def test_a_repetition_penalty_changes_what_a_model_would_repeat(self, start, tmp_path):
        spec = tiny_gguf.scripted(["▁a", "b", "c"])
        number = spec.token("d")
        row = spec.tensors["output.weight"]
        values = bytearray(row[2])
        values[(number * 128 + 2) * 4 : (number * 128 + 2) * 4 + 4] = struct.pack("<f", 0.5)
        spec.tensors["output.weight"] = (row[0], row[1], bytes(values))
        supervisor = start(spec.write(tmp_path / "m.gguf"))
        assert ask(supervisor, "a", max_tokens=4).text == "bccc"
        assert ask(supervisor, "a", max_tokens=3, repeat_penalty=4.0).text == "bcd"
        assert ask(supervisor, "a", max_tokens=4, repeat_penalty=4.0, repeat_window=0).text == "bccc"


class TestRefusals:
    def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(self, start, tiny_path):
        supervisor = start(tiny_path)
        with pytest.raises(ContextOverflow, match="has 502 tokens and the model's context holds 128") as caught:
            ask(supervisor, "x" * 500)
        assert (caught.value.prompt_tokens, caught.value.context_length) == (502, 128)
        assert ask(supervisor, "hello", max_tokens=1).end["output"] == 1

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"max_tokens": 0}, "max_tokens is a whole number from 1; got 0"),
            ({"max_tokens": "9"}, "max_tokens is a whole number"),
            ({"temperature": "hot"}, "temperature is a number"),
            ({"stop": "x"}, "stop is a list"),
            ({"stop": [""]}, "stop is a list"),
            ({"messages": [["tool", "x"]]}, "handles text, and not tools: its chat template knows none"),
        ],
    )
    def test_a_wrong_option_is_named(self, tiny_supervisor, options, reason):
        with pytest.raises(InvalidRequest, match=reason):
            ask(tiny_supervisor, "hello", **options)

    def test_a_context_longer_than_the_model_was_trained_for_is_refused(self, start, tiny_path):
        with pytest.raises(ConfigurationError, match="from 1 to the 128 tokens"):
            ask(start(tiny_path, context_length=129), "hello")

    def test_a_damaged_file_is_refused_and_its_repair_is_noticed(self, start, tmp_path):
        whole = tiny_gguf.tiny().to_bytes()
        path = tmp_path / "m.gguf"
        path.write_bytes(whole[:-1])
        supervisor = start(path)
        for _ in range(3):
            with pytest.raises(ModelFileError, match="after the end of the file"):
                ask(supervisor, "hello")
        path.write_bytes(whole)
        assert ask(supervisor, "hello", max_tokens=1).end["output"] == 1

    def test_weights_that_are_no_numbers_are_an_error_and_not_nonsense(self, start, tmp_path):
        spec = tiny_gguf.tiny()
        spec.tensors["output_norm.weight"] = ((32,), 0, tiny_gguf.packed([float("nan")] * 32, 0))
        supervisor = start(spec.write(tmp_path / "m.gguf"))
        for options in ({}, {"temperature": 1.0}):
            with pytest.raises(ModelFileError, match="computes no numbers"):
                ask(supervisor, "hello", **options)

    def test_an_unknown_prompt_format_is_refused_with_the_known_ones(self, start, tiny_path):
        with pytest.raises(ModelFileError, match="set prompt_format= to one of plain, chatml"):
            ask(start(tiny_path, prompt_format="cobol"), "hello")

    def test_gpu_layers_without_a_gpu_are_refused_with_a_remedy(self, start, engine, tiny_path):
        if Path("/proc/driver/nvidia").exists():
            pytest.skip("there is a GPU")
        remedy = {
            "ctransformers": "install the driver or run on the CPU with gpu_layers=0",
            "xllamacpp": r"pip install .* xllamacpp==.* --index-url .* CUDA, .* or use gpu_layers=0",
        }
        for wanted in (1, "all"):
            with pytest.raises(EngineUnavailable, match=remedy[engine]):
                ask(start(tiny_path, gpu_layers=wanted), "hello")

    def test_as_many_layers_as_fit_are_none_without_a_gpu(self, start, tiny_path):
        if Path("/proc/driver/nvidia").exists():
            pytest.skip("there is a GPU")
        reply = ask(start(tiny_path, gpu_layers="auto"), "hello", max_tokens=2)
        assert reply.start["start"]["gpu_layers"] == 0
        assert reply.text == ask(start(tiny_path), "hello", max_tokens=2).text
