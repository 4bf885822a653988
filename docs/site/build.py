"""The docs site: collects its pages from the repository, and has mkdocs build it strictly.

    python docs/site/build.py            # into build/site/html; python -m http.server -d build/site/html shows it
    python docs/site/build.py --links    # only lists the links to other sites

The pages are written for people who read them in the repository. Here their relative links are rewritten: to the place
in the site where they lead to a page or a picture, and to the plain name of any other file. A link to what does not
exist is an error.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
# Pages of the repository, and the place of each in the site.
PAGES = {
    "docs/*.md": "{name}.md",
    "benchmarks/README.md": "benchmarks.md",
    "experiments/README.md": "experiments.md",
    "experiments/reports/*.md": "reports/{name}.md",
    "train/README.md": "training.md",
    "model_cards/*.md": "cards/{name}.md",
    "model_cards/*/README.md": "cards/{folder}.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
PICTURES = {".svg", ".png", ".jpg", ".gif", ".webp", ".mp4"}
# Nothing in code and comments is a link. Links are those of Markdown, [text](target "title"), and of HTML.
FENCED = r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence) *$"
CODE = FENCED + r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|<!--.*?-->"
LINK = r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)(?P<title>\s+\"[^\"]*\")?\)"
HTML = r"(?P<attribute>\b(?:src|srcset|href|poster))=\"(?P<address>[^\"]+)\""
TOKEN = re.compile(f"{CODE}|{LINK}|{HTML}", re.MULTILINE | re.DOTALL)
SHORT = 30  # characters of code that a line does not break
OTHER_SITE = re.compile(r"[a-z]+:", re.IGNORECASE)


class BrokenLinkError(ValueError):
    """A link of a page leads nowhere."""


class Site:
    """The pages and pictures of a repository, and where the site has them.

    Args:
        root: the repository.

    Attributes:
        places: of the pages, below the site, by their files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = {
            file: place.format(name=file.stem, folder=file.parent.name)
            for pattern, place in PAGES.items()
            for file in sorted(root.glob(pattern))
        }

    def collect(self, folder: Path) -> None:
        """Write the pages into a folder, and the pictures that they show; raises a BrokenLinkError."""
        for file, place in self.places.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(self.rewritten(file, file.read_text(encoding="utf-8")), encoding="utf-8")
            for link in links(file):
                if OTHER_SITE.match(link):
                    continue
                picture = self._file(file, link)
                if picture.suffix in PICTURES:
                    copy = folder / self._place(picture)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(picture, copy)

    def rewritten(self, page: Path, text: str) -> str:
        """The text of a page, or a part of it, with its links rewritten, and short code marked for style.css.

        Raises:
            BrokenLinkError: a link leads to no file, or to no heading of it; the message names the page and the link.
        """

        def new(match: re.Match[str]) -> str:
            if match["ticks"] and len(match[0]) < SHORT:
                return match[0] + "{.short}"
            link = match["target"] or match["address"]
            if link is None or OTHER_SITE.match(link):
                return match[0]
            file = self._file(page, link)
            place = self._place(file)
            if place:
                place = os.path.relpath(place, Path(self.places[page]).parent) + "".join(link.partition("#")[1:])
            if match["address"]:
                return f'{match["attribute"]}="{re.sub("[.]md(?=#|$)", ".html", place)}"' if place else ""
            text = self.rewritten(page, match["text"])
            if place:
                return f"{match['image']}[{text}]({place}{match['title'] or ''})"
            name = self._name(file) + "/" * file.is_dir()
            words = text.strip("`/")
            return f"`{name}`" if words in (file.name, link.strip("/"), name.strip("/")) else f"{text} (`{name}`)"

        return TOKEN.sub(new, text)

    def _file(self, page: Path, link: str) -> Path:
        """The file or folder of the repository that a relative link leads to."""
        path, _, anchor = link.partition("#")
        file = Path(os.path.normpath(page.parent / unquote(path))) if path else page
        if file / "README.md" in self.places:
            file /= "README.md"
        if not file.exists() or not file.is_relative_to(self.root):
            raise BrokenLinkError(f"{self._name(page)}: the link {link} leads to no file of the repository; correct it")
        if anchor and file.suffix == ".md" and anchor not in anchors(file):
            raise BrokenLinkError(
                f"{self._name(page)}: the link {link} leads to no heading of {self._name(file)}; correct it"
            )
        return file

    def _place(self, file: Path) -> str:
        """Where the site has a file; empty if it is neither a page nor a picture."""
        if file.suffix not in PICTURES:
            return self.places.get(file, "")
        name = self._name(file)
        return name.removeprefix("docs/") if name.startswith("docs/") else f"images/{name}"

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def links(page: Path) -> Iterator[str]:
    """What a page links to, pictures in links too, and addresses in angle brackets."""
    text = page.read_text(encoding="utf-8")
    for outer in TOKEN.finditer(text):
        for match in (outer, *TOKEN.finditer(outer["text"] or "")):
            yield from filter(None, (match["target"], match["address"]))
    yield from re.findall(r"<(https?://[^>\s]+)>", text)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page: those of its headings, as GitHub makes them, and those of its HTML."""
    text = re.sub(FENCED, "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set(re.findall(r"<\w+ (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def build(root: Path, folder: Path) -> int:
    """Collect the site's pages in `folder`/pages and build it in `folder`/html.

    Args:
        root: the repository.
        folder: made anew.

    Returns:
        mkdocs' exit status: 0 where there is nothing to complain about.

    Raises:
        BrokenLinkError: a link of a page leads nowhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    Site(root).collect(folder / "pages")
    for file, place in (("style.css", "pages"), ("mkdocs.yml", ".")):
        shutil.copy(root / "docs" / "site" / file, folder / place)
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(folder / "mkdocs.yml")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement of its successor
    # mkdocstrings finds the package in the working directory.
    return subprocess.run([*mkdocs, "-d", str(folder / "html")], cwd=root, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the docs site in build/site/html.")
    parser.add_argument("--links", action="store_true", help="list the links to other sites, and build nothing")
    if parser.parse_args().links:
        for page in Site(ROOT).places:
            for link in filter(OTHER_SITE.match, links(page)):
                print(page.relative_to(ROOT), link)
        return 0
    try:
        return build(ROOT, ROOT / "build" / "site")
    except BrokenLinkError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
