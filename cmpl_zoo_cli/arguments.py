"""Arguments that several verbs take."""

import argparse


def add_list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("list", metavar="LIST", help="CSV with a column `path`")
    verb.add_argument("--root", default=".", metavar="DIR", help="folder that the paths are relative to (default: .)")


def add_workers(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--workers", type=int, metavar="N", help="processes (default: one per CPU core at hand)")
