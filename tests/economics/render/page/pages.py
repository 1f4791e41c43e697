"""Reads a page as a browser does: its text, its tables, and whether each tag is closed."""

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """A page that was read. `tables` has each table's rows of cells, by the label that a screen reader says."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.tables, self.texts = {}, []
        self._rows = self._cell = None
        self.feed(html)
        self.close()
        assert self.open == []

    @property
    def text(self):
        return " ".join(" ".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows = self.tables[dict(attrs)["aria-label"]] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td") and ("aria-hidden", "true") not in attrs:
            self._rows[-1].append("")
            self._cell = self._rows[-1]

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("th", "td"):
            self._cell = None

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
        if self._cell is not None:
            self._cell[-1] += data.replace("\N{NO-BREAK SPACE}", " ")

    def values(self, attribute):
        return [value for _, name, value in self.attributes if name == attribute]
