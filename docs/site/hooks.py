"""What mkdocs does with each page after it has made HTML of it."""

import re

CODE = re.compile(r"(?P<tag><code\b[^>]*>)(?P<text>[^<]*)</code>")
COMMENT_OR_WORD = re.compile(r"(?P<comment>(?<= )# .*)|\S+")
BETWEEN_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%)|(?<=\d) (?=[x±] \d)|(?<=\d [x±]) (?=\d)")


def on_page_content(html: str, **_: object) -> str:
    """The page, with no line that ends within a word of code, such as `--option`, or within 39 %, 8 x 8 and 1.2 ± 0.3.

    Words longer than 30 characters may be broken: a phone has no room for them. Comments after commands are marked.
    """

    def marked(match: re.Match[str]) -> str:
        if match["comment"]:
            return f'<span class="comment">{match[0]}</span>'
        return f'<span class="word">{match[0]}</span>' if len(match[0]) <= 30 else match[0]

    def code(match: re.Match[str]) -> str:
        return f"{match['tag']}{COMMENT_OR_WORD.sub(marked, match['text'])}</code>"

    parts = re.split(r"(<pre.*?</pre>|<code.*?</code>|<[^>]+>)", html, flags=re.DOTALL)
    parts[::2] = [BETWEEN_NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text) for text in parts[::2]]
    return CODE.sub(code, "".join(parts))
