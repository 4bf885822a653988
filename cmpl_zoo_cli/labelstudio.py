"""`cmpl-zoo labelstudio`."""

import argparse
import sys

from cmpl_zoo_cli.arguments import Verbs, add_output, add_root, add_verb, check_output

LABELSTUDIO = """\
Make tasks for Label Studio of a list of videos, or of what cmpl-zoo predict has
written, so that a person corrects labels instead of making them: TASKS.json,
for the project's Import. The label config for its settings is printed.

  cmpl-zoo predict MODEL VIDEOS --csv predictions.csv
  cmpl-zoo labelstudio predictions.csv -o tasks.json

FILE is a list of videos, with or without labels, the --csv or --json of
predict, the file of cmpl-zoo suggest, or a table video,label,start,end (and
probability), as of bouts. What is labeled there comes back with cmpl-zoo import
labelstudio.
"""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "labelstudio", run, "videos and predictions as tasks for Label Studio", LABELSTUDIO)
    verb.add_argument("file", metavar="FILE", help="list or predictions; see above")
    add_output(verb, "the tasks", "TASKS.json")
    add_root(verb)
    verb.add_argument(
        "--address",
        default="/data/local-files/?d=",
        metavar="PREFIX",
        help="what comes before a path below --root in the address from which Label Studio reads a video (default: "
        "/data/local-files/?d=, its files in LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)",
    )


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from cmpl_zoo.tools.pre_annotations import pre_annotations
    from cmpl_zoo.tools.text_files import write_text

    check_output(args.output, args.file, what="this is the file that is read")
    tasks, config = pre_annotations(args.file, args.root, args.address)
    write_text(Path(args.output), json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    labels = sum(len(task["predictions"][0]["result"]) for task in tasks)
    print(f"{args.output}  {len(tasks)} tasks with {labels} labels, for a project with this label config:\n{config}")
    if not labels:
        print("cmpl-zoo: no class is known yet; add a line for each to the label config", file=sys.stderr)
    return 0
