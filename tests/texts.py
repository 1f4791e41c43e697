"""Texts of many kinds, from the library of the Python that runs, and what real vocabularies make of them."""

from __future__ import annotations

import base64
import json
import sysconfig
import warnings
from functools import lru_cache
from pathlib import Path

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
CODE = "\n".join((LIBRARY / f"{name}.py").read_text("utf-8") for name in ("argparse", "ast", "difflib", "tarfile"))
ENGLISH = (LIBRARY / "pydoc_data" / "topics.py").read_text("utf-8").replace("\\n", "\n").replace("'", "")
WORDS = ENGLISH.split()[:5000]
CHINESE = [
    "今天的天气很好,我们决定去公园散步。",
    "这个问题的答案取决于你如何定义成功。",
    "请先检查网络连接,然后重新启动应用程序。",
    "人工智能正在改变许多行业的工作方式。",
    "如果订单还没有发货,您可以随时取消并获得全额退款。",
    "北京是中国的首都,拥有三千多年的历史。",
    "研究人员发现,睡眠不足会影响记忆力和注意力。",
    "首先把水烧开,加入少许盐,再放入面条煮八分钟。",
    "他站在窗前,望着远处的群山,沉默了很久。",
    "数据库的索引可以显著提高查询速度,但会占用额外的存储空间。",
    "根据合同第七条的规定,违约方应当承担相应的赔偿责任。",
    "春天来了,树上的花都开了,空气中弥漫着淡淡的香味。",
    "经济增长放缓的主要原因是出口下降和内需不足。",
]


def part_of(text, chance, size):
    start = chance.randrange(len(text) - size)
    return text[start : start + size]


def some_json(chance, size):
    def value():
        return chance.choice(
            [chance.randrange(10**6), round(chance.random() * 100, 2), True, None, chance.choice(WORDS)]
        )

    names = ["id", "name", "price", "created_at", "status", "tags", "address", "quantity"]
    text, indent = "", chance.choice([None, 2])
    while len(text) < size:
        text += json.dumps({name: value() for name in chance.sample(names, 5)}, indent=indent) + "\n"
    return text[:size]


def some_digits(chance, size):
    way = chance.randrange(3)
    if way == 0:
        return "".join(chance.choices("0123456789", k=size))
    if way == 1:
        return " ".join(str(chance.randrange(10 ** chance.randint(1, 9))) for _ in range(size // 2))[:size]
    return ", ".join(f"{chance.random() * 1000:.4f}" for _ in range(size))[:size]


KINDS = {
    "english": lambda chance, size: part_of(ENGLISH, chance, size),
    "code": lambda chance, size: part_of(CODE, chance, size),
    "json": some_json,
    "digits": some_digits,
    "chinese": lambda chance, size: "".join(chance.choices(CHINESE, k=size)).replace(",", "\uff0c")[: size // 2],
    "base64": lambda chance, size: base64.b64encode(chance.randbytes(size)).decode()[:size],
}
"""Each gives a text of a size, as a `random.Random` has it."""

SIZES = (200, 600, 2000)
"""Characters of the texts that most tests take."""


@lru_cache
def vocabulary(name="o200k"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it opens its files in an old way
        from bpe_openai import get_encoding

        return get_encoding(f"{name}_base")


def tokens_in(text, name="o200k"):
    return len(vocabulary(name).encode(text))
