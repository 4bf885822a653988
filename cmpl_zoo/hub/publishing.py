"""Model directories on the Hugging Face Hub."""

import os
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id

from cmpl_zoo.hub.cards import PLACE, model_card
from cmpl_zoo.hub.saving import FILES
from cmpl_zoo.models import create_model
from cmpl_zoo.models.hub_errors import explained
from cmpl_zoo.models.labels import label_names
from cmpl_zoo_cli.version import __version__


def push(directory: str | os.PathLike[str], repository: str, *, private: bool = False, dry_run: bool = False) -> str:
    """Publish a model directory on the Hugging Face Hub, in one commit, where every way in loads it.

    The directory is loaded first, so that nothing is published that does not load. A missing repository is created.
    README.md becomes the model card; without it, a card says that the training is unrecorded.

    Args:
        directory: as `save` and training write it.
        repository: `ORG/NAME`.
        private: only members of the organization see the repository.
        dry_run: only check the directory, without asking the Hub.

    Returns:
        The address of the commit, or of the repository in a dry run.

    Raises:
        FileNotFoundError, RuntimeError: the directory holds no model of this zoo, or the Hub refuses, and why; nothing
            is published then.
    """
    model = create_model(f"local-dir:{os.fspath(directory)}", pretrained=True)
    with explained(repository):
        validate_repo_id(repository)
    if "/" not in repository:
        raise RuntimeError(f"{repository}: this is no name of a repository; give it as ORG/NAME")
    card = Path(directory, "README.md")
    text = card.read_text(encoding="utf-8") if card.is_file() else model_card(model, label_names(model))
    operations = [CommitOperationAdd(name, Path(directory, name)) for name in FILES if name != "README.md"]
    operations.append(CommitOperationAdd("README.md", text.replace(PLACE, f"hf-hub:{repository}").encode()))
    api = HfApi(library_name="cmpl_zoo", library_version=__version__)
    if dry_run:
        return f"{api.endpoint}/{repository}"
    message = f"{model.pretrained_cfg['architecture']} by cmpl_zoo {__version__}"
    with explained(repository, "; nothing was published"):
        made = not api.repo_exists(repository)
        api.create_repo(repository, private=private, exist_ok=not made)  # another's, made meanwhile, is not deleted
        try:
            if private and not made and not api.model_info(repository).private:
                raise RuntimeError(f"{repository}: this repository is public already; take another name")
            return str(api.create_commit(repository, operations, commit_message=message).commit_url)
        except Exception as error:
            if made:  # by this very call, and empty
                api.delete_repo(repository, missing_ok=True)
            if isinstance(error, ValueError) and not isinstance(error, HfHubHTTPError):  # metadata that the Hub refuses
                reason = " ".join(str(error).split())
                raise RuntimeError(f"{repository}: {reason} (README.md); nothing was published") from error
            raise
