"""Files of weights, of this zoo's training or of another's: the network within is loaded, or the message says how."""

from pathlib import Path

import timm
from torch import Tensor, nn

from cmpl_zoo.models.video_model import VideoModel


def load_checkpoint(model: nn.Module, file: str) -> None:
    """Load a file of weights: safetensors, or a pickle of which torch takes nothing but tensors.

    What timm finds in a file (`state_dict_ema`, `state_dict`, `model`) is found here. A prefix of the network's keys is
    left out, such as Lightning's `model.`, and what is beside the network with it.

    Raises:
        RuntimeError: the file is none, or of another network or number of classes; the message says what to do.
    """
    with Path(file).open("rb") as opened:
        if opened.read(36)[32:] == b"PK\x03\x04":  # torch.save after a digest; see cmpl_zoo/training/checkpoint.py
            run = Path(file).absolute().parents[1]
            raise RuntimeError(
                f"{file}: this is a state to continue a run from; give create_model the folder of one of its networks, "
                f"such as {run / 'primary'}, which the end of training or --resume writes"
            )
    try:
        # The longest name of a weight is not the end of another's.
        a_key = max((key for key in model.state_dict() if key.endswith(".weight")), key=len)
        state_dict = _network(timm.models.load_state_dict(file), a_key)
        _check_head(state_dict, model, a_key)
        if not isinstance(model, VideoModel):  # features only
            state_dict = {key: weight for key, weight in state_dict.items() if not key.startswith("fc.")}
        model.load_state_dict(state_dict)
    except ValueError as error:
        raise RuntimeError(f"{file}: {error}") from error
    except Exception as error:  # whatever a file that is no checkpoint makes of the unpickler
        reason = " ".join(str(error).split())
        if "weights_only=True blocked" in reason and "globals: " in reason:
            objects = reason.partition("globals: ")[2].partition(". No automatic")[0][:200]
            raise RuntimeError(
                f"{file}: holds Python objects beside its weights ({objects}), which could run code; if you trust it, "
                "torch.load(FILE, weights_only=False) reads it, and torch.save of the state dict makes a file to load"
            ) from error
        raise RuntimeError(
            f"{file}: no weights of this model ({reason[:300]}); give a state dict of it, of safetensors or torch.save"
        ) from error


def _network(state_dict: dict[str, Tensor], a_key: str) -> dict[str, Tensor]:
    """The part of a state dict that is the network, which has that key; all of it where none is."""
    prefixes = [key.removesuffix(a_key) for key in state_dict if f".{key}".endswith(f".{a_key}")]
    if len(prefixes) > 1:
        raise ValueError(
            f"holds {len(prefixes)} networks, whose keys begin with {' and '.join(map(repr, prefixes))}; save the "
            "one that you want by itself, torch.save(network.state_dict(), FILE)"
        )
    if not prefixes:
        return state_dict
    [prefix] = prefixes
    # n_averaged counts what torch.optim.swa_utils has averaged; its prefix is one that timm removes.
    network = {key.removeprefix(prefix): weight for key, weight in state_dict.items() if key.startswith(prefix)}
    return {key: weight for key, weight in network.items() if key != "n_averaged"}


def _check_head(state_dict: dict[str, Tensor], model: nn.Module, a_key: str) -> None:
    """Raise ValueError where the weights are of an image network or of another number of classes than the model."""
    if a_key in state_dict and state_dict[a_key].ndim == 4:
        raise ValueError(
            "these are weights for images; create_model(NAME, pretrained=True, pretrained_cfg_overlay={'file': FILE, "
            "'num_classes': N}), with N the number of their classes, inflates them"
        )
    head = {key: weight for key, weight in state_dict.items() if key.startswith("fc.")}
    if not isinstance(model, VideoModel) or a_key not in state_dict or (head and "fc.weight" not in head):
        return
    classes = len(head["fc.weight"]) if head else 0
    if classes != model.num_classes:
        raise ValueError(
            f"its classifier has {classes} classes, and the model {model.num_classes}; give create_model "
            f"num_classes={classes}, and for another classifier call model.reset_classifier afterwards"
        )
