"""Chat templates that know tools, in the ways in which models of today write calls. Made for tests."""

from __future__ import annotations

_TURN = "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
_ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def _template(call: str, separator: str = "") -> str:
    return (
        "{% if tools %}<|im_start|>system\nYou may call functions:\n"
        "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
        "{% for message in messages %}"
        "{% if message.tool_calls %}<|im_start|>assistant\n{{ message.content }}"
        f"{{% for call in message.tool_calls %}}{call}{{% if not loop.last %}}{separator}{{% endif %}}{{% endfor %}}"
        "<|im_end|>\n"
        "{% elif message.role == 'tool' %}<|im_start|>user\n<tool_response name={{ message.name }}>"
        "{{ message.content }}</tool_response><|im_end|>\n"
        f"{{% else %}}{_TURN}{{% endif %}}{{% endfor %}}{_ASKS}"
    )


_ARGUMENTS = "{{ call.function.arguments | tojson }}"
TAGGED = _template('<tool_call>\n{"name": "{{ call.function.name }}", "arguments": ' + _ARGUMENTS + "}\n</tool_call>")
BARE = _template('{"name": "{{ call.function.name }}", "parameters": ' + _ARGUMENTS + "}")
LISTED = _template('[TOOL_CALLS][{{ {"name": call.function.name, "arguments": call.function.arguments} | tojson }}]')
XML = _template(
    "<function={{ call.function.name }}>{% for name, value in call.function.arguments | items %}<p>{{ value }}</p>"
    "{% endfor %}</function>"
)
THINKING = TAGGED.replace(_ASKS, "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}")

_NAMED = (
    "{% if call.function is defined %}{% set call = call.function %}{% endif %}"
    "{{ '\n<tool_call>\n<function=' + call.name + '>\n' }}{% for name, value in call.arguments | items %}"
    "<parameter={{ name }}>\n"
    "{% set value = value | tojson | safe if value is mapping or (value is sequence and value is not string)"
    " else value | string %}{{ value }}\n</parameter>\n{% endfor %}</function>\n</tool_call>"
)
NAMED = _template(_NAMED).replace("{{ message.content }}{% for call", "{{ message.content | trim }}{% for call")
"""As Qwen3-Coder has it."""
PAIRED = _template(
    "<tool_call>{{ call.function.name }}\n{% for name, value in call.function.arguments.items() %}"
    "<arg_key>{{ name }}</arg_key>\n<arg_value>{{ value if value is string else value | tojson }}</arg_value>\n"
    "{% endfor %}</tool_call>"
)
"""As GLM 4.5 has it."""
PAIRED_OR_RAW = PAIRED.replace(
    "{% for name, value in call.function.arguments.items() %}",
    "{% set given = call.function.arguments %}"
    "{% for name, value in (given if given is mapping else {'raw': given}).items() %}",
)
