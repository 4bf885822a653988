"""`cmpl-zoo push`."""

import argparse

from cmpl_zoo_cli.arguments import Verbs, add_verb


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "push",
        run,
        "publish a model directory on the Hugging Face Hub",
        "Load a model directory, to check that it works, and upload it to the Hugging Face Hub.",
    )
    verb.add_argument("directory", metavar="DIR", help="model directory, such as runs/NAME/primary")
    verb.add_argument("repository", metavar="ORG/NAME", help="repository on the Hub, which is made if there is none")
    verb.add_argument(
        "--private",
        action="store_true",
        help="publish to a private repository; an existing public one is refused (default: public)",
    )
    verb.add_argument(
        "--dry-run", action="store_true", help="only check the directory, without contacting the Hub (default: publish)"
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.hub import push

    address = push(args.directory, args.repository, private=args.private, dry_run=args.dry_run)
    print(f"{args.directory} loads; it would go to {address}" if args.dry_run else address)
    return 0
