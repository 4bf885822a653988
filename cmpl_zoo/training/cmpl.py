"""Cross-Model Pseudo-Labeling: the step of the paper (`CMPL`) and the loop around it (`train`).

The formulas are in `cmpl_zoo/semi.py`. Notation of the paper (CVPR 2022): F is the primary and A the auxiliary network,
v are labeled clips with labels y, u unlabeled ones, w and s their weak and strong views, tau the threshold, lambda the
weight of the unsupervised loss. What the paper does not say (the rules of batch norm, the optimizer) is our choice.
"""

from pathlib import Path
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from cmpl_zoo.datasets.training_steps import ClipBatch
from cmpl_zoo.distributed import Ranks, set_up_device
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.freezing import freeze_batch_norm
from cmpl_zoo.semi import CMPLLoss, cmpl_loss, pseudo_labels
from cmpl_zoo.training.batch_norm import evaluating, running_statistics_kept
from cmpl_zoo.training.clip_input import ClipInput
from cmpl_zoo.training.lists import count_steps, load_lists, training_steps
from cmpl_zoo.training.networks import build_networks, distribute, training_clips
from cmpl_zoo.training.optimization import Optimization
from cmpl_zoo.training.run import Run
from cmpl_zoo.training.run_folder import open_run
from cmpl_zoo_cli.train_config import Config


class CMPL(nn.Module):
    """F and A, which label unlabeled clips for each other; one call is one step.

    Batch norm: the weak pass uses the statistics of its own batch (`weak_bn="batch"`) or the running ones, and never
    changes those. Labeled clips and strong views are normalized as two batches, and the running statistics are of the
    labeled ones alone, unless `strong_bn="labeled"` makes one batch of both. `batch_norm="frozen"` uses the running
    statistics everywhere and changes them nowhere.

    Args:
        networks: F and, unless the run has one network alone, A.
        config: of the run: `scheme`, `threshold`, `hard`, and the three options above.
    """

    def __init__(self, networks: list[VideoModel], config: Config) -> None:
        super().__init__()
        self.config = config
        self.primary = networks[0]
        self.auxiliary = networks[1] if len(networks) > 1 else None
        own, distinct = training_clips(config)
        self.inputs = nn.ModuleList(
            ClipInput(network, distinct.index(clip)) for network, clip in zip(networks, own, strict=True)
        )
        if config.batch_norm == "frozen":
            freeze_batch_norm(self)

    @property
    def networks(self) -> dict[str, VideoModel]:
        """F and A by their roles, `primary` and `auxiliary`."""
        return {"primary": self.primary} | ({"auxiliary": self.auxiliary} if self.auxiliary is not None else {})

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay spares, beside biases and norms; timm asks for them."""
        return {f"{role}.{name}" for role, network in self.networks.items() for name in network.no_weight_decay()}

    def forward(self, batch: ClipBatch, lambda_u: float) -> CMPLLoss:
        """The loss of one step.

        Args:
            batch: as `cmpl_zoo.datasets.TrainingSteps` makes it, uint8 clips (batch, 3, T, H, W), a list of
                tensors per view: `labeled` w(v) with their `labels` y and, unless the scheme is `none`, `weak` w(u) and
                `strong` s(u).
            lambda_u: lambda in this step.
        """
        config, v, y = self.config, batch["labeled"], batch["labels"]
        pairs = list(zip(self.networks.values(), self.inputs, strict=True))
        if config.scheme == "none":
            return cmpl_loss([network(clips_of(v)) for network, clips_of in pairs], y)

        # p^F = softmax F(w(u)), p^A = softmax A(w(u)), without gradient; l_F and l_A, thresholded by tau
        p = [self.weak_pass(network, clips_of(batch["weak"])) for network, clips_of in pairs]
        pseudo = pseudo_labels(p[0], p[1] if len(p) > 1 else None, config.scheme, config.threshold, config.hard)

        # F(w(v)), F(s(u)) and A(w(v)), A(s(u))
        outputs = [self.learning_pass(network, clips_of(v), clips_of(batch["strong"])) for network, clips_of in pairs]
        labeled, strong = zip(*outputs, strict=True)
        return cmpl_loss(labeled, y, strong, pseudo, lambda_u)

    @torch.no_grad()
    def weak_pass(self, network: VideoModel, weak: Tensor) -> Tensor:
        """What a network says of weak views, as probabilities (batch, classes): without dropout and gradient."""
        by_batch = self.config.weak_bn == "batch" and self.config.batch_norm != "frozen"
        with evaluating(network, batch_statistics=by_batch):
            return network(weak).float().softmax(dim=1)

    def learning_pass(self, network: VideoModel, labeled: Tensor, strong: Tensor) -> tuple[Tensor, Tensor]:
        """A network's logits of labeled clips and of strong views, from which it learns."""
        if self.config.strong_bn == "labeled":
            return network(torch.cat([labeled, strong])).split([len(labeled), len(strong)])
        logits = network(labeled)
        with running_statistics_kept(network):
            return logits, network(strong)


def train(config: Config, ranks: Ranks | None = None) -> Path:
    """One run, from lists of videos to model directories.

    Args:
        config: its options.
        ranks: the processes that share it; by default this one alone.

    Returns:
        The run's folder: model directories `primary`, `auxiliary` and `best/`, metrics.jsonl, summary.json, states.

    Raises:
        ListError, VideoError, StorageError, WorkerError: the lists or videos cannot be used.
        RunError: the run cannot start or continue.
        RankError: a process was lost.
        StopRequested: a signal came, and the state is saved.
    """
    # Build
    ranks = ranks or Ranks()
    lists = load_lists(config, ranks)
    config = count_steps(config, lists, ranks)
    torch.manual_seed(config.seed)
    device = set_up_device(config.device, ranks.local)
    cmpl = CMPL(build_networks(config, lists.classes), config).to(device).to(memory_format=torch.channels_last_3d)
    batches = {"labeled_batch": config.labeled_batch}
    batches |= {"unlabeled_batch": config.unlabeled_batch} if config.scheme != "none" else {}
    model = distribute(cmpl, config, batches, ranks, device)
    optimization = Optimization(cmpl, model, learned_weights(cmpl, config), config, device)
    steps = training_steps(config, lists, ranks)
    ema = ModelEmaV3(cmpl, decay=config.ema, use_warmup=True) if config.ema else None
    state = {"networks": cmpl} | optimization.state | ({"ema": ema.module} if ema else {})

    with open_run(config, ranks):
        run = Run(config, ranks, lists, steps, device, networks=(ema.module if ema else cmpl).networks, state=state)

        # The loop
        cmpl.train()
        with run.interrupt, ranks.together():
            for batch in run.batches():
                lambda_u = config.lambda_u * min(1.0, (run.step + 1) / (config.unlabeled_warmup or 1))
                gradient_norm = optimization.step(run, batch, lambda_u)
                if ema:
                    ema.update(cmpl, run.step + 1)
                run.end_step(gradient_norm, lr=optimization.lr, lambda_u=lambda_u)

            # Finish
            return run.finish()


def learned_weights(cmpl: CMPL, config: Config) -> nn.Module | list[dict[str, Any]]:
    """What the optimizer takes: the module, or with `layer_decay` the weights of each network by their depth in it."""
    if config.layer_decay == 1:
        return cmpl
    return [
        group
        for network in cmpl.networks.values()
        for group in param_groups_layer_decay(
            network, config.weight_decay, network.no_weight_decay(), layer_decay=config.layer_decay
        )
    ]
