"""What POSIX has and Windows does not: None there, so that what needs it can be imported, and says so when it runs."""

from __future__ import annotations

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

__all__ = ["fcntl"]
