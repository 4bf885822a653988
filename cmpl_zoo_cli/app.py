"""`cmpl-zoo app`."""

import argparse

from cmpl_zoo_cli.arguments import Verbs, add_verb, whole

SHIPPED = "r3d50_eighth.cmpl_demo"  # in the package


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "app",
        run,
        "a web page that shows what networks see of a video",
        "A web page: drop or record a video, and see its classes, its timeline, and the frames that the "
        "network saw. Needs gradio (pip install 'cmpl_zoo[app]'). Ctrl-C ends it.",
    )
    verb.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="model directory, name, hf-hub:ORG/NAME, or the folder of a run, whose primary and auxiliary network are "
        f"shown side by side (default: {SHIPPED}, which comes with this package)",
    )
    verb.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; 0.0.0.0 lets everybody who reaches this machine use the page, without a password "
        "(default: 127.0.0.1, this machine alone)",
    )
    verb.add_argument("--port", type=whole(1, 65535), default=7860, metavar="N", help="port (default: 7860)")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.app.page import serve

    serve(args.models or [SHIPPED], args.host, args.port)
    return 0
