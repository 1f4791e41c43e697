"""An image counts as what its model makes of it at most, and its size is read without decoding it."""

from __future__ import annotations

import base64
import math

import pytest
from hypothesis import given, strategies as st

from inferkit.core.messages import ImagePart, Message
from inferkit.pricing.image_sizes import size_in, size_of
from inferkit.pricing.images import MOST_IMAGE_TOKENS, image_tokens_bound
from inferkit.pricing.tokens import input_tokens_bound
from inferkit.testing import make_request

SIDES = st.integers(1, 16_000)


def big(number, size):
    return number.to_bytes(size, "big")


def little(number, size):
    return number.to_bytes(size, "little")


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + big(13, 4) + b"IHDR" + big(width, 4) + big(height, 4) + b"\x08\x02\0\0\0"


def gif(width, height):
    return b"GIF89a" + little(width, 2) + little(height, 2) + b"\xf7\0\0"


def jpeg(width, height, *, mark=0xC0, notes=b"\xff\xe1\x00\x08Exif\0\0"):
    frame = b"\xff" + bytes([mark]) + big(17, 2) + b"\x08" + big(height, 2) + big(width, 2) + b"\x03" * 10
    return b"\xff\xd8" + notes + b"\xff\xff\xdb\x00\x04ab" + frame + b"\xff\xda"


def lossy(width, height):
    return b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x30\x01\0\x9d\x01\x2a" + little(width, 2) + little(height, 2)


def lossless(width, height):
    return b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + little(width - 1 | height - 1 << 14, 4)


def extended(width, height):
    return b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + little(width - 1, 3) + little(height - 1, 3)


KINDS = {"png": png, "gif": gif, "jpeg": jpeg, "lossy": lossy, "lossless": lossless, "extended": extended}


@pytest.mark.parametrize("kind", KINDS)
@given(SIDES, SIDES)
def test_the_size_is_in_the_first_bytes_of_each_kind(kind, width, height):
    assert size_in(KINDS[kind](width, height) + bytes(30)) == (width, height)


@pytest.mark.parametrize("mark", [0xC1, 0xC2, 0xCF])
def test_every_frame_of_a_jpeg_says_its_size_and_its_tables_do_not(mark):
    tables = b"\xff\xc4\x00\x09" + bytes(7) + b"\xff\x01"
    assert size_in(jpeg(640, 480, mark=mark, notes=tables)) == (640, 480)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_was_cut_or_mutilated_has_no_size_or_some(kind):
    whole = KINDS[kind](640, 480) + bytes(30)
    for length in range(len(whole)):
        assert size_in(whole[:length]) in {None, (640, 480)}
    assert size_in(whole[:11]) is None
    assert size_in(whole) == (640, 480)


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\0\0\0\0WEBPVP9 " + bytes(20),
        b"\xff\xd8\xff\xda" + bytes(30),
        b"\xff\xd8\xff\xd8" + bytes(30),
        b"BM" + bytes(40),
    ],
)
def test_a_file_of_another_kind_has_no_size(data):
    assert size_in(data) is None


@given(st.binary(max_size=200))
def test_no_bytes_do_any_harm(data):
    for head in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF0000WEBPVP8L"):
        found = size_in(head + data)
        assert found is None or min(found) > 0


def url_of(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_an_image_in_the_request_has_a_size_whichever_way_it_is_given():
    long_notes = (b"\xff\xe2" + big(65_000, 2) + bytes(64_998)) * 3
    for data in (png(64, 48) + bytes(10**6), jpeg(64, 48, notes=long_notes) + bytes(10**6)):
        assert size_of(ImagePart(data=data, media_type="image/png")) == (64, 48)
        assert size_of(ImagePart(url=url_of(data))) == (64, 48)


@pytest.mark.parametrize(
    "url",
    [
        "https://a/b.png",
        "data:image/png,abc",
        "data:image/png;base64,a",
        "data:image/png;base64,",
        "data:,é",
        "x",
    ],
)
def test_an_image_elsewhere_or_unreadable_has_none(url):
    assert size_of(ImagePart(url=url)) is None


@pytest.mark.parametrize(
    ("model", "size", "detail", "published"),
    [  # what the providers' pages give as examples
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o-2024-08-06", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("openai/gpt-4o-mini", (1024, 1024), "high", 25_501),
        ("gpt-4o-mini", (512, 512), "low", 2_833),
        ("gpt-4.1-mini", (1024, 1024), None, math.ceil(1024 * 1.62)),
        ("gpt-4.1-nano", (1800, 2400), None, math.ceil(1452 * 2.46)),
        ("gpt-5.4", (1600, 1600), "high", 2_500),
        ("gpt-5.4", (6000, 6000), "original", 10_000),
        ("claude-sonnet-4-5", (200, 200), None, 54),
        ("claude-sonnet-4-5", (1092, 1092), None, 1_590),
        ("anthropic/claude-opus-5", (8000, 8000), None, 1_600),
        ("gemini-2.0-flash", (384, 384), None, 258),
        ("gemini-2.5-pro", (960, 540), None, 6 * 258),
        ("grok-4", (448, 448), None, 512),
    ],
)
def test_the_bound_is_not_below_what_is_published_and_not_far_above(model, size, detail, published):
    part = ImagePart(data=png(*size) + bytes(30), media_type="image/png", detail=detail)
    bound = image_tokens_bound(part, model)
    assert published <= bound <= max(3 * published + 64, 2_240, 4 * published)


FAMILIES = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-6-sol", "claude-x", "gemini-4", "grok-4", "my-own", ""]


@pytest.mark.parametrize("model", FAMILIES)
@given(SIDES, SIDES, st.sampled_from([None, "low", "high", "auto", "original"]))
def test_an_image_whose_size_is_not_known_counts_as_the_largest(model, width, height, detail):
    known = ImagePart(data=png(width, height) + bytes(30), media_type="image/png", detail=detail)
    elsewhere = ImagePart(url="https://a/b.png", detail=detail)
    assert 0 < image_tokens_bound(known, model) <= image_tokens_bound(elsewhere, model) <= MOST_IMAGE_TOKENS


@given(SIDES, SIDES, st.sampled_from(FAMILIES))
def test_a_model_that_nobody_knows_counts_as_the_dearest(width, height, model):
    part = ImagePart(data=png(width, height) + bytes(30), media_type="image/png", detail="high")
    assert image_tokens_bound(part, model) <= image_tokens_bound(part, "deployment-7")


def test_the_bound_of_a_request_is_that_of_its_model():
    part = ImagePart(data=png(512, 512) + bytes(30), media_type="image/png")
    request = make_request("Hi").replace(messages=(Message.user("Hi", part),))
    text = input_tokens_bound(request.replace(messages=(Message.user("Hi", ""),)))
    assert input_tokens_bound(request, "gpt-4o") - text == 255
    assert input_tokens_bound(request) - text == 8_500
