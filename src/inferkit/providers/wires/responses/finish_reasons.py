"""Why a reply of the Responses wire ended, in the words that all wires share, and back."""

from __future__ import annotations

__all__ = ["CUT_OFF", "MEANINGS"]

MEANINGS = {"max_output_tokens": "length"}
"""What the reason for an incomplete reply means; others ("content_filter") stay as they are."""

CUT_OFF = {"length": "max_output_tokens", "budget": "max_output_tokens", "content_filter": "content_filter"}
"""The wire's own word for an end before the end."""
