"""What mkdocs does with each page after it has made HTML of it."""

import re

CODE = re.compile(r"(?P<tag><code\b[^>]*>)(?P<text>[^<]*)</code>")
WORD = re.compile(r"\S+")
BETWEEN_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%)|(?<=\d) (?=[x±] \d)|(?<=\d [x±]) (?=\d)")


def on_page_content(html: str, **_: object) -> str:
    """The page, with no line that ends within a word of code, such as `--option`, or within 39 %, 8 x 8 and 1.2 ± 0.3.

    Words longer than 30 characters may still be broken: a phone has no room for them.
    """

    def kept_together(word: re.Match[str]) -> str:
        return f'<span class="word">{word[0]}</span>' if len(word[0]) <= 30 else word[0]

    def code(match: re.Match[str]) -> str:
        return f"{match['tag']}{WORD.sub(kept_together, match['text'])}</code>"

    parts = re.split(r"(<pre.*?</pre>|<code.*?</code>|<[^>]+>)", html, flags=re.DOTALL)
    parts[::2] = [BETWEEN_NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text) for text in parts[::2]]
    return CODE.sub(code, "".join(parts))
