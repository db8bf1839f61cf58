"""Chat templates written for tests, one for each way in which families of models differ around an answer.

They use the control tokens of `tiny_models.tiny_tokenizer`.
"""

_USER = "{% if m['role'] == 'user' %}<|start|>user\n{{ m['content'] }}<|turn|>\n{% else %}"

CLOSED_ONLY_BEFORE_ANOTHER_TURN = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{% if not loop.last or (m['role'] == 'user' and add_generation_prompt) %}<|turn|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
CLOSED_ONLY_AT_THE_END = (
    "{% for m in messages %}{{ '<|start|>' if m['role'] == 'user' else '<|stop|>' }}{{ m['content'] }}{% endfor %}"
    "{{ '<|stop|>' if add_generation_prompt else eos_token }}"
)
THE_NEXT_HEADER_ENDS_IT = (
    "{% for m in messages %}{{ '<|start|>' if m['role'] == 'user' else '<|stop|>' }}\n{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|stop|>\n{% endif %}"
)
ALWAYS_ASKS = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|turn|>\n{% endfor %}"
    "{{ '<|start|>assistant\n' }}"
)
ALWAYS_ASKS_AND_CLOSES_NOTHING = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}\n{% endfor %}{{ '<|start|>assistant\n' }}"
)
TEXT_BEFORE_THE_END = (
    "{% for m in messages %}{% if m['role'] == 'user' %}### Ask:\n{{ m['content'] }}\n### Reply:\n"
    "{% else %}{{ m['content'] }}\n{{ eos_token }}\n{% endif %}{% endfor %}"
)
WORDS_ALONE_END_IT = (
    "{% for m in messages %}{{ 'USER: ' if m['role'] == 'user' else 'MODEL: ' }}{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}MODEL: {% endif %}"
)
ANSWER_CHANNEL = (
    "{% for m in messages %}" + _USER + "{% if m.thinking %}<|start|>think<|stop|>{{ m.thinking }}<|turn|>{% endif %}"
    "<|start|>say<|stop|>{{ m['content'] }}{{ '</s>' if loop.last else '<|turn|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>{% endif %}"
)
OPENS_A_BLOCK_THAT_AN_ANSWER_LACKS = (
    "{% for m in messages %}" + _USER + "<|start|>assistant\n{% if m.reasoning_content %}<think>\n"
    "{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m['content'] }}<|turn|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n<think>\n{% endif %}"
)
OPENS_A_BLOCK_AND_TAKES_NO_REASONING = (
    "{% for m in messages %}" + _USER + "<|start|>assistant\n{{ m['content'] }}<|turn|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n<think>\n{% endif %}"
)
CLOSES_WITHOUT_OPENING = (
    "{% for m in messages %}"
    + _USER
    + "<|start|>assistant\n</think>{{ m['content'] }}<|turn|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
CLOSES_IN_TWO_WAYS = (
    "{% for m in messages %}"
    + _USER
    + "<|start|>assistant\n</think>{{ m['content'] }}<|turn|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n<think></think>{% endif %}"
)
EMPTY_BLOCK_THEN_A_CHANNEL = (
    "{% for m in messages %}" + _USER + "<|start|>assistant<|stop|>[ASK]{{ m['content'] }}[/ASK]<|turn|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|stop|><think></think>{% endif %}"
)
TURNS_IN_PARTS = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{% for part in m['content'] %}{{ part.text }}{% endfor %}"
    "<|turn|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
