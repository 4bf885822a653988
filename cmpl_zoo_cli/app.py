"""`cmpl-zoo app`."""

import argparse

from cmpl_zoo_cli.arguments import whole

SHIPPED = "r3d50_eighth.cmpl_demo"  # in the package


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "app",
        help="a web page that shows what networks see of a video",
        description="A web page: drop or record a video, and see its classes, its timeline, and the frames that the "
        "network saw. Needs gradio (pip install 'cmpl_zoo[app]'). Ctrl-C ends it.",
    )
    verb.set_defaults(run=run)
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
