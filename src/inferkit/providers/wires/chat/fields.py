"""What becomes of each field of the Chat Completions wire that a caller may pass in `extra=`, as far as cost goes.

Those of OpenAI's reference, and what OpenRouter, Azure, vLLM, Groq, xAI, DeepSeek, Mistral, llama.cpp and Ollama add.
A server that counts thinking beside the limit of the reply has `thinks_beside` among its quirks, which makes it capped.
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferkit.pricing.terms import PLAIN, CostRules, Terms, WireField
from inferkit.providers.wires.cost_fields import (
    LENGTH,
    OUTSIDE,
    all_of,
    lifetime,
    region,
    speed,
    tier,
    tools_of,
    unmeasured,
)

__all__ = ["COST_RULES"]

_ONE_REPLY = "a call gives one reply; leave it out, and make several calls"
_SEARCH = f"nobody can say before how often the server searches; search in a tool of your own, {OUTSIDE}"
_RETRIEVAL = f"nobody can say before how much the server adds to the prompt; put it into the messages, {OUTSIDE}"
_ROUTES = (
    "another server or model may have another price; list models in the client's models=, or state the price with "
    "prices=, and say free_fields=(...) where the server is"
)
_IMAGES = f"images in the reply are not bounded by max_output_tokens; ask for text and audio, {OUTSIDE}"


def _modalities(value: Any) -> Terms | None:
    if value is None:
        return PLAIN
    if not isinstance(value, Sequence) or isinstance(value, str) or not {*map(str, value)} <= {"text", "audio"}:
        return None
    return Terms(kinds=frozenset({"output_audio"})) if "audio" in value else PLAIN


def _audio(value: Any) -> Terms | None:
    if value is None:
        return PLAIN
    return Terms(kinds=frozenset({"output_audio"})) if isinstance(value, Mapping) else None


def _one(value: Any) -> Terms | None:
    return PLAIN if value is None or (type(value) is int and value == 1) else None


def _off(value: Any) -> Terms | None:
    return PLAIN if value in (None, False) else None


def _address(value: Any) -> Terms | None:
    """Let what else is said of an image pass, but no other image."""
    if isinstance(value, Mapping) and not {"url", "detail"} & value.keys():
        return PLAIN
    return Terms(unmeasured="image_url")


def _stream_options(value: Any) -> Terms | None:
    return PLAIN if isinstance(value, Mapping) and value.get("include_usage", True) is True else None


_FIELDS: dict[str, WireField] = {
    "messages": WireField("option", "use the messages argument"),
    "model": WireField("option", "use the model argument"),
    "stream": WireField("option", "use stream() or complete()"),
    "n": WireField("refused", _ONE_REPLY, _one),
    "best_of": WireField("refused", _ONE_REPLY, _one),
    "num_return_sequences": WireField("refused", _ONE_REPLY, _one),
    "use_beam_search": WireField("refused", _ONE_REPLY, _off),
    **all_of(
        "refused under a budget",
        LENGTH,
        "max_tokens max_completion_tokens max_output_tokens max_new_tokens max_tokens_to_sample n_predict num_predict",
    ),
    "service_tier": WireField("priced", "held and booked at the price of its tier", tier),
    "speed": WireField("priced", "held and booked at the price of its speed", speed),
    "inference_geo": WireField("priced", "held and booked at the price of its region", region),
    "modalities": WireField("priced", _IMAGES, _modalities),
    "audio": WireField("priced", "held and booked at the price of audio", _audio),
    "cache_control": WireField("priced", 'its ttl is "5m" or "1h"', lifetime),
    "prompt_cache_options": WireField("priced", 'its ttl is "30m" or "12h"', lifetime),
    "tools": WireField(
        "refused under a budget",
        "nobody can say before what tools of the server cost, or add to the prompt; give the model functions of your "
        f"own, {OUTSIDE}",
        tools_of({None, "function", "custom"}),
    ),
    **{name: unmeasured(name) for name in ("previous_response_id", "conversation", "cached_content")},
    "web_search_options": WireField("refused under a budget", _SEARCH),
    "search_parameters": WireField("refused under a budget", _SEARCH),
    "search_options": WireField("refused under a budget", _SEARCH),
    "enable_search": WireField("refused under a budget", _SEARCH, _off),
    "plugins": WireField("refused under a budget", _SEARCH),
    "compound_custom": WireField("refused under a budget", _SEARCH),
    "data_sources": WireField("refused under a budget", _RETRIEVAL),
    "enhancements": WireField("refused under a budget", _RETRIEVAL),
    "chat_template": WireField(
        "refused under a budget", f"a template can repeat the prompt; set it where the server starts, {OUTSIDE}"
    ),
    "mm_processor_kwargs": WireField(
        "refused under a budget", f"it says how many tokens an image is; set it where the server starts, {OUTSIDE}"
    ),
    "prediction": WireField(
        "refused under a budget",
        "what is predicted wrongly is billed as output, and max_output_tokens does not hold beside it; leave it out, "
        + OUTSIDE,
    ),
    "speculation": WireField("refused under a budget", f"it is billed as output; leave it out, {OUTSIDE}"),
    "models": WireField("refused under a budget", _ROUTES),
    "route": WireField("refused under a budget", _ROUTES),
    "provider": WireField("refused under a budget", _ROUTES),
    "preset": WireField("refused under a budget", _ROUTES),
    "image_config": WireField("refused under a budget", _IMAGES),
    "stream_options": WireField(
        "refused under a budget", "what a reply took is what is booked; leave include_usage as it is", _stream_options
    ),
    "extra_body": WireField("refused under a budget", "put its fields into extra= themselves"),
    "options": WireField("refused under a budget", f"put its fields into extra= themselves, and {LENGTH}"),
    **all_of(
        "capped",
        "what it makes the model think or write counts within max_output_tokens",
        "reasoning_effort reasoning include_reasoning verbosity thinking thinking_budget thinking_token_budget "
        "enable_thinking max_thinking_tokens chat_template_kwargs think min_tokens ignore_eos t_max_predict_ms",
    ),
    **all_of(
        "measured",
        "its bytes count as input",
        "response_format functions documents guided_json guided_regex guided_choice guided_grammar structured_outputs "
        "grammar json_schema",
    ),
    **all_of(
        "free",
        "moves no cost",
        "frequency_penalty presence_penalty logit_bias logprobs top_logprobs metadata parallel_tool_calls "
        "function_call tool_choice prompt_cache_key prompt_cache_retention safety_identifier seed stop store "
        "temperature top_p user top_k top_a min_p repetition_penalty transforms usage session_id trace "
        "reasoning_format citation_options "
        "disable_tool_validation random_seed length_penalty stop_token_ids include_stop_str_in_output "
        "skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens prompt_truncate_len prompt_logprobs "
        "allowed_token_ids bad_words add_generation_prompt continue_final_message priority request_id cache_salt "
        "return_tokens_as_token_ids return_token_ids guided_decoding_backend guided_whitespace_pattern "
        "context_length_exceeded_behavior user_security_context cache_prompt id_slot samplers mirostat mirostat_tau "
        "mirostat_eta typical_p dynatemp_range dynatemp_exponent xtc_probability xtc_threshold dry_multiplier dry_base "
        "dry_allowed_length dry_penalty_last_n repeat_penalty repeat_last_n n_probs min_keep n_keep timings_per_token "
        "return_progress keep_alive do_sample",
    ),
}

_HEARD = Terms(kinds=frozenset({"input_audio"}))

COST_RULES = CostRules(
    _FIELDS,
    {
        "cache_control": _FIELDS["cache_control"],
        "tools": _FIELDS["tools"],
        "input_audio": WireField("priced", "held and booked at the price of audio", lambda _: _HEARD),
        "audio": unmeasured("audio", "input_audio"),
        **{name: unmeasured(name) for name in ("file", "file_id", "file_url", "video_url", "audio_url")},
        "image_url": WireField("priced", "held for as much as fits into the model", _address),
    },
    {":online": Terms(unmeasured=":online")},  # OpenRouter searches, and puts what it finds into the prompt
)
