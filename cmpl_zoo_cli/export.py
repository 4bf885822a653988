"""`cmpl-zoo export`."""

import argparse

from cmpl_zoo_cli.arguments import Verbs, add_verb
from cmpl_zoo_cli.video_words import matches_of, videos_of

EXPORT = """\
Write a model to one file that runs without this package: FILE.onnx, for
onnxruntime and others, or FILE.pt2, for torch.export.load. It takes clips
(batch, 3, frames, height, width) in float32, of any number, and gives logits.
Its metadata holds, as JSON, `class_names` and the settings of its clips,
`clip`: frames, stride, fps or spread, clips, crops, size, crop_pct, mean, std.

Its probabilities are compared with PyTorch's on real clips, and their largest
difference is printed, with its size and speed. Above 0.001, with --half 0.01,
there is no file. examples/onnx_predict.py in the repository shows how to read
videos for it with numpy and PyAV alone. ONNX needs
pip install 'cmpl_zoo[export]'.
"""


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(verbs, "export", run, "a model as one file for onnxruntime or torch.export", EXPORT)
    verb.add_argument("model", metavar="MODEL", help="model directory, name, or hf-hub:ORG/NAME")
    verb.add_argument("-o", "--output", required=True, metavar="FILE", help="NAME.onnx or NAME.pt2 (required)")
    verb.add_argument(
        "--half", action="store_true", help="weights and computation in float16: half the size (default: float32)"
    )
    verb.add_argument(
        "--videos",
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="videos, folders of videos, or patterns to compare the probabilities on (default: eight videos that are "
        "rendered)",
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.exporting import TOLERANCE, export_model
    from cmpl_zoo.models import create_model

    videos = [video for word in args.videos for match in matches_of(word) for video in videos_of(match, root=".")]
    model = create_model(args.model, pretrained=True).eval()
    made = export_model(model, args.output, videos, half=args.half)
    import torch  # after cmpl_zoo, which says why

    threads = torch.get_num_threads()
    print(f"{args.output}  {made.megabytes:.1f} MB")
    print(
        f"  probabilities  differ from PyTorch's by at most {made.difference:.1e} on {made.clips} clips "
        f"(allowed: {TOLERANCE[args.half]:g})"
    )
    print(
        f"  speed          {made.seconds:.3f} s a clip by {made.runtime}, {made.pytorch_seconds:.3f} s by PyTorch "
        f"{torch.__version__} in float32, on {threads} CPU thread{'s' * (threads > 1)}"
    )
    return 0
