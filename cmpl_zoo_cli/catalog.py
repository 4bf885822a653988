"""`cmpl-zoo list` and `cmpl-zoo info`: what the zoo has."""

import argparse
import os

from cmpl_zoo_cli.arguments import Verbs, add_verb


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs, "list", list_all, "the networks and weights that there are", "The networks and weights that there are."
    )
    verb.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="part of a name, or a pattern such as 'tv_*'"
    )
    verb = add_verb(
        verbs,
        "info",
        tell,
        "what there is to know of a network",
        "Parameters, cost, input, classes, source and accuracy of a network; nothing is downloaded.",
    )
    verb.add_argument("name", metavar="NAME", help="a name that `cmpl-zoo list` shows")


def list_all(args: argparse.Namespace) -> int:
    from fnmatch import fnmatch

    from cmpl_zoo.models.facts import catalog, facts

    pattern = args.pattern if "*" in args.pattern else f"*{args.pattern}*"
    if not (names := [name for name in catalog() if fnmatch(name, pattern)]):
        raise ValueError(f"no network is called like {args.pattern}; `cmpl-zoo list` shows all")
    width = max(map(len, names))
    for name in names:
        known = facts(name)
        told = known.accuracy or ("no accuracy stated" if known.source else "no weights")
        print(f"{name.ljust(width)}  {known.parameters / 1e6:5.1f} M  {known.classes:4} classes  {told}")
    return 0


def tell(args: argparse.Namespace) -> int:
    from cmpl_zoo.models.facts import facts, gmac, with_tag

    if "/" in args.name or "\\" in args.name or os.path.isdir(args.name):
        raise ValueError(f"{args.name}: is no name of the zoo; the card of a model, its README.md, tells what it is")
    known = facts(with_tag(args.name))
    height, width = known.size
    lines = {
        "parameters": f"{known.parameters:,}",
        "cost": f"{gmac(known.name):.2f} GMAC a clip",
        "clip": f"{known.clip}, {height} x {width} pixels",
        "test views": f"{known.views} (clips x crops)",
        "classes": str(known.classes),
        "weights": known.source or "none; they are random without training",
        "download": f"about {known.megabytes} MB" if known.megabytes and known.source != "in the package" else "none",
        "license": known.license or ("none stated" if known.source else "none"),
        "top-1": known.accuracy or "not stated",
    }
    print(known.name)
    for what, value in lines.items():
        print(f"  {what:<10}  {value}")
    return 0
