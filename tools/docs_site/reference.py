"""The reference: a page for each public module and each room of `inferkit`, made from signatures and docstrings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, ForwardRef

from docs_site.docstrings import markdown_of
from docs_site.faces import MODULES, OTHERS, ROOMS, PublicName, assigned_by, named_in_the_docs, public_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Reference"]

_WIDTH = 84


class Reference:
    """All pages of the reference, each by its file: its title and its text."""

    def __init__(self, docs: list[Path]) -> None:
        self._places: dict[str, str] = {}
        self._pages: dict[str, tuple[str, str, list[PublicName]]] = {}
        names = public_names("inferkit")
        for title in (*ROOMS, OTHERS):
            if within := [each for each in names if each.room == title]:
                self._add(f"{_file(title)}.md", title, "", within)
        for module in MODULES[1:]:
            about = inspect.getdoc(import_module(module)) or ""
            self._add(f"{module.split('.')[1]}.md", f"`{module}`", about, public_names(module))
        more = [each for module, only in named_in_the_docs(docs).items() for each in public_names(module, only)]
        about = "What the documentation imports from elsewhere. Only these names are public there."
        self._add("elsewhere.md", "Other modules", about, more)

    def _add(self, file: str, title: str, about: str, names: list[PublicName]) -> None:
        self._pages[file] = (title, about, names)
        for each in names:
            self._places.setdefault(each.name, f"{file}#{each.path}")

    def pages(self) -> Iterator[tuple[str, str, str]]:
        """Give the file, the title and the text of each page."""
        for file, (title, about, names) in self._pages.items():
            text = [f"# {title}", _plain(about)]
            for each in names:
                text += _described(each, self._link(each.name))
            yield file, title.strip("`"), "\n\n".join(filter(None, text)) + "\n"

    def _link(self, but: str) -> Callable[[str], str | None]:
        """Make what finds a name's place, without a link from its own description to itself."""

        def link(name: str) -> str | None:
            first, *rest = name.removeprefix("inferkit.").split(".")
            if first == but or rest:
                return None
            return self._places.get(first)

        return link


def _file(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _plain(about: str) -> str:
    return about.strip()


def _described(public: PublicName, link: Callable[[str], str | None]) -> list[str]:
    value = public.value
    text = [f"## {public.name} {{ #{public.path} }}"]
    if inspect.isclass(value) and not hasattr(value, "__origin__"):
        text.append(_code(f"from {public.module} import {public.name}\n\n{_signature(public.name, value)}"))
        text.append(_bases(value, link))
        text.append(markdown_of(value, link))
        text.append(_fields(value))
        for name, member in _members(value):
            text += _member(public, name, member, link)
    elif inspect.isfunction(value):
        text.append(_code(f"from {public.module} import {public.name}\n\n{_signature(public.name, value)}"))
        text.append(markdown_of(value, link))
    else:
        text.append(_code(f"from {public.module} import {public.name}\n\n{_assigned(public)}"))
    return text


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _bases(kind: type, link: Callable[[str], str | None]) -> str:
    """Say what a class is a kind of, where that is public or an exception of Python's."""
    shown = []
    for each in kind.__bases__:
        if target := link(each.__name__):
            shown.append(f"[`{each.__name__}`]({target})")
        elif issubclass(each, Exception):
            shown.append(f"`{each.__name__}`")
    return f"A kind of {' and '.join(shown)}." if shown else ""


def _fields(kind: type) -> str:
    """Tabulate the fields of a dataclass that its signature does not show: properties and methods come after it."""
    if not dataclasses.is_dataclass(kind):
        return ""
    hidden = [each for each in dataclasses.fields(kind) if not each.init and not each.name.startswith("_")]
    return "\n".join(f"- `{each.name}`: `{each.type}`" for each in hidden)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Give the methods and properties of a class and of what it inherits here, in the order of their definition."""
    seen = set()
    for each in kind.__mro__:
        if not each.__module__.startswith("inferkit"):
            continue
        for name, member in vars(each).items():
            described = isinstance(member, (property, staticmethod, classmethod)) or inspect.isfunction(member)
            told_elsewhere = (inspect.getdoc(member) or "See `").startswith("See `")  # by the protocol that it serves
            if described and not told_elsewhere and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, member


def _member(public: PublicName, name: str, member: Any, link: Callable[[str], str | None]) -> list[str]:
    anchor = f"### {public.name}.{name} {{ #{public.path}.{name} }}"
    if isinstance(member, property):
        kind = inspect.signature(member.fget).return_annotation if member.fget else inspect.Signature.empty
        shown = name if kind is inspect.Signature.empty else f"{name}: {_written(kind)}"
        return [anchor, _code(shown), markdown_of(member, link)]
    function = getattr(member, "__func__", member)
    before = f"@{type(member).__name__}\n" if isinstance(member, (staticmethod, classmethod)) else ""
    return [anchor, _code(before + _signature(name, function, method=True)), markdown_of(function, link)]


def _signature(name: str, thing: Any, *, method: bool = False) -> str:
    """Write a signature, in one line where it fits and otherwise one line for each parameter."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return name
    parameters = [each for each in signature.parameters.values() if not each.name.startswith("_")]
    if method and parameters and parameters[0].name in {"self", "cls"}:
        parameters = parameters[1:]
    returns = signature.return_annotation
    end = "" if inspect.isclass(thing) or returns is inspect.Signature.empty else f" -> {_written(returns)}"
    waits = "async " if inspect.iscoroutinefunction(thing) else ""
    shown = list(_parameters(parameters))
    line = f"{waits}{name}({', '.join(shown)}){end}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{waits}{name}(", *(f"    {each}," for each in shown), f"){end}"])


def _parameters(parameters: list[inspect.Parameter]) -> Iterator[str]:
    kinds = inspect.Parameter
    only_by_name = False
    for number, each in enumerate(parameters):
        if each.kind is kinds.VAR_POSITIONAL:
            only_by_name = True
        if each.kind is kinds.KEYWORD_ONLY and not only_by_name:
            only_by_name = True
            yield "*"
        yield _parameter(each)
        following = parameters[number + 1] if number + 1 < len(parameters) else None
        if each.kind is kinds.POSITIONAL_ONLY and (following is None or following.kind is not kinds.POSITIONAL_ONLY):
            yield "/"


def _parameter(parameter: inspect.Parameter) -> str:
    text = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))  # with its stars
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_written(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return text
    shown = json.dumps(parameter.default) if isinstance(parameter.default, str) else repr(parameter.default)
    if " at 0x" in shown or shown.startswith("<"):  # an object of ours, or what a dataclass makes anew each time
        shown = "..."
    return f"{text} = {shown}"


def _written(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return inspect.formatannotation(annotation)


def _assigned(public: PublicName) -> str:
    """Give the assignment that makes a type alias or a constant, as it stands in the module that defines it."""
    source = inspect.getsource(import_module(public.home))
    for each in ast.parse(source).body:
        if public.name in assigned_by(each):
            return ast.get_source_segment(source, each) or public.name
    raise LookupError(f"{public.home} does not assign {public.name}")
