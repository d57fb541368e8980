"""Pages as a strict reader finds them: well formed, and cell by cell what they tell programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "hr", "img", "input"}
_INLINE = {"a", "code", "data", "time"}


@dataclass
class Told:
    """What a page holds: titles and cells of its tables, its words, its links and ids."""

    tables: list[tuple[str, list[dict[str, str]]]] = field(default_factory=list)
    text: str = ""
    tags: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    style: str = ""


def read(page: str) -> Told:
    """The page; fails if a tag is left open, closed twice or closed in the wrong order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert page.startswith("<!doctype html>\n<html lang=")
    assert reader.open == [], f"left open: {reader.open}"
    reader.told.text = " ".join(reader.told.text.split())
    return reader.told


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.told = Told()
        self.open: list[str] = []
        self._title = ""
        self._heads: list[str] = []
        self._cells: list[str] = []
        self._machine: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.told.tags.add(tag)
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in given:
            self.told.ids.append(given["id"])
        if "href" in given:
            self.told.links.append(given["href"])
        if tag in ("caption", "summary"):
            self._title = ""
        if tag == "table":
            self._heads, rows = [], []
            self.told.tables.append((self._title, rows))
        if tag == "tr":
            self._cells = []
        if tag in ("th", "td"):
            self._cells.append("")
        if tag in ("data", "time"):
            self._machine = given["value" if tag == "data" else "datetime"]
            if {"th", "td"} & set(self.open):
                self._cells[-1] += self._machine

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another"
        if tag not in _INLINE:
            self.told.text += " "
        rows = self.told.tables[-1][1] if self.told.tables else []
        if tag == "caption":
            self.told.tables[-1] = (self._title, rows)
        if tag == "tr" and "thead" in self.open:
            self._heads = self._cells
        elif tag == "tr":
            rows.append(dict(zip(self._heads, self._cells, strict=bool(self._heads))))
        if tag in ("data", "time"):
            self._machine = None

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.told.style += data
            return
        self.told.text += data
        if self.open and self.open[-1] in ("caption", "summary"):
            self._title += data
        if {"th", "td"} & set(self.open) and self._machine is None:
            self._cells[-1] += data


__all__ = ["Told", "read"]
