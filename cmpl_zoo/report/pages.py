"""HTML from the templates beside this file: every value is escaped, and a page is one file."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from cmpl_zoo._files import replace_text

LARGEST = 3_000_000  # bytes of a page, which people send each other
GENERATOR = '<meta name="generator" content="cmpl-zoo">'  # in the head of every page
LONGEST = 120  # characters of a name that are shown


def render(template: str, **values: Any) -> str:
    """The text of a page; a template that asks for a value that is not given is an error."""
    return _templates().get_template(template).render(**values)


def write_page(file: str | os.PathLike[str], html: str) -> None:
    """Write a page, whole or not at all; bytes of file names that are not UTF-8 are spelled out.

    Raises:
        OSError: it cannot be written.
    """
    replace_text(file, html.encode("utf-8", "backslashreplace").decode())


def shortened(text: str) -> str:
    """A name in at most `LONGEST` characters: of a longer one the end, which tells files of a folder apart."""
    return text if len(text) <= LONGEST else "…" + text[1 - LONGEST :]


def with_options(text: str) -> Markup:
    """A sentence in which options of a command line are code, which is not broken at their hyphens."""
    return Markup(re.sub(r"--[a-z][a-z-]*[a-z]", r"<code>\g<0></code>", str(escape(text))))


@cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["with_options"] = with_options
    return templates
