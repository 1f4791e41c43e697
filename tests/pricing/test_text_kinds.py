"""How many tokens texts are counted as before anything was learned, beside what a real vocabulary makes of them."""

from __future__ import annotations

import random

import pytest

from inferkit.pricing.text_kinds import KINDS, count
from texts import tokens_in

TEXTS = {
    "a reply": "Thank you for your message! I am sorry that the parcel has not arrived yet. It left our warehouse on "
    "Monday, and the carrier says that it should be with you by Thursday at the latest. If it is not there by then, "
    "just write to me again, and I will send you a new one at once or give you your money back, whichever you like.",
    "a list": "Here is what to do:\n\n1. **Open** the settings of your account.\n2. Choose *Notifications*, and then "
    "`Email`.\n3. Switch off what you do not want:\n   - the weekly summary\n   - news about products\n   - reminders"
    "\n\n> If a switch is grey, your administrator has locked it.\n\nSee [the manual](https://example.com/manual#mail).",
    "a justified text": "Permission  is granted  to  whoever has  a copy of  this text to  use it  in any  way, to\n"
    "change  it,  and to  hand  it  on  to others,  as  long as  this  notice is  kept.   The  text comes\n"
    "as  it  is,  and  whoever  wrote  it  does  not answer  for  what  may  come of  its  use.",
    "German": "Vielen Dank für Ihre Nachricht! Es tut mir leid, dass Ihr Paket noch nicht angekommen ist. Es hat unser "
    "Lager am Montag verlassen, und laut Zustelldienst müsste es spätestens am Donnerstag bei Ihnen sein. Sollte es "
    "bis dahin nicht da sein, schreiben Sie mir einfach noch einmal.",
    "Spanish": "¡Gracias por su mensaje! Siento mucho que el paquete no haya llegado todavía. Salió de nuestro almacén "
    "el lunes y, según el transportista, debería llegarle a más tardar el jueves. Si para entonces no lo ha recibido, "
    "escríbame otra vez y le enviaré uno nuevo enseguida.",
    "Russian": "Спасибо за ваше сообщение! Мне очень жаль, что посылка ещё не пришла. Она покинула наш склад в "
    "понедельник, и курьерская служба обещает доставить её не позднее четверга. Если к тому времени её не будет, "
    "просто напишите мне ещё раз, и я сразу отправлю новую.",
    "SQL": "SELECT c.name, COUNT(o.id) AS orders, SUM(o.total_price) AS revenue\nFROM customers AS c\n    LEFT JOIN "
    "orders AS o ON o.customer_id = c.id AND o.created_at >= '2025-01-01'\nWHERE c.country IN ('DE', 'FR', 'IT')\n"
    "GROUP BY c.name\nHAVING SUM(o.total_price) > 1000.00\nORDER BY revenue DESC\nLIMIT 20;",
    "HTML": '<ul class="menu">\n  <li class="menu-item active"><a href="/home">Home</a></li>\n  <li class="menu-item">'
    '<a href="/products?sort=price">Products</a></li>\n</ul>\n<p id="intro">Welcome to <b>our shop</b>!</p>\n',
    "a log": "2026-11-29 16:44:02,117 INFO  [worker-3] job 48213 started\n2026-11-29 16:44:05,902 WARN  [worker-3] "
    "retrying GET https://api.example.com/v2/items/991 (attempt 2 of 5)\n2026-11-29 16:44:09,330 ERROR [worker-3] job "
    "48213 failed: ConnectionResetError(104, 'Connection reset by peer')\n",
    "a table": "| item      | price | in stock |\n|-----------|------:|----------|\n| kettle    | 24.90 | yes      |\n"
    "| toaster   | 39.00 | no       |\n| cutlery   | 12.50 | yes      |\n| saucepan  | 31.75 | yes      |\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_any_sort_is_counted_to_within_a_fifth_before_anything_is_known(name):
    text = TEXTS[name]
    assert 0.8 <= sum(count(text.encode())) / tokens_in(text) <= 1.25


def test_a_text_that_is_counted_in_parts_comes_to_what_it_does_as_a_whole():
    text = " ".join(" ".join(TEXTS.values()).split()).encode()  # spaces in a row are counted from where a part begins
    whole, parts, after = count(text), [0.0] * len(KINDS), b""
    for start in range(0, len(text), 37):
        part = text[start : start + 37]
        parts = [old + new for old, new in zip(parts, count(part, after), strict=True)]
        after = part[-1:]
    assert parts == pytest.approx(whole)


def test_pieces_stand_for_a_long_text():
    chance = random.Random(1)
    text = "\n".join(chance.choices([*TEXTS.values()], k=400)).encode()
    assert sum(count(text)) == pytest.approx(sum(count(text, most=1000)), rel=0.15)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\x80", b"\x00", "\ud800".encode("utf-8", "surrogatepass")])
def test_bytes_that_are_no_text_are_counted_too(text):
    assert 0 <= sum(count(text)) <= 3 * len(text)
    assert len(count(text)) == len(KINDS)
