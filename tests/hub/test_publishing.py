"""What is pushed to the Hub: all of it in one commit, or nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_client import NAMES, Client, digest
from hub_server import TOKEN, Hub
from torch import nn

import cmpl_zoo
from cmpl_zoo import hub


@pytest.fixture(scope="module")
def publisher(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    running = Client(tmp_path_factory.mktemp("publisher"), server.url, HF_TOKEN=TOKEN)
    yield running
    running.close()


def test_what_is_pushed_loads_back_bit_for_bit(
    publisher: Client, client: Client, server: Hub, model: nn.Module, tmp_path: Path
) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    address = publisher.run(f"""
        from cmpl_zoo import hub
        value = hub.push({str(folder)!r}, "someone/pushed")
    """)
    repository = server.repositories["someone/pushed"]
    assert len(repository.commits) == 1 and next(iter(repository.commits)) in address
    files = next(iter(repository.commits.values()))
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert set(files) == {"model.safetensors", "config.json", "README.md"}
    assert b'create_model("hf-hub:someone/pushed", pretrained=True)' in files["README.md"]
    for library in ("cmpl_zoo", "timm"):
        found = client.run(
            f"model = {library}.create_model('hf-hub:someone/pushed', pretrained=True); value = digest(model)"
        )
        assert found == digest(model.state_dict())


def test_command_pushes(server: Hub, model: nn.Module, tmp_path: Path) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    env = os.environ | {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}

    def push(*options: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("cmpl-zoo"), "push", folder, "someone/by-command", *options]
        return subprocess.run(command, env=env, capture_output=True, text=True)

    asked = len(server.requests)
    dry = push("--dry-run")
    assert dry.returncode == 0 and "someone/by-command" in dry.stdout, dry.stderr
    assert len(server.requests) == asked
    done = push("--private")
    assert done.returncode == 0, done.stderr
    assert server.repositories["someone/by-command"].private


@pytest.mark.parametrize(
    ("repository", "part", "status", "message"),
    [
        ("foreign/model", "", 0, "the access token does not allow this"),
        ("someone/failing", "/commit/", 501, "nothing was published"),
        ("someone/failing2", "preupload", 501, "nothing was published"),
        ("someone/failing3", "/commit/", 400, "the Hub answered with status 400"),
        ("nonsense", "", 0, "give it as ORG/NAME"),
        ("someone/with space", "", 0, "give it as ORG/NAME"),
    ],
)
def test_a_failed_push_publishes_nothing(
    publisher: Client,
    server: Hub,
    model: nn.Module,
    tmp_path: Path,
    repository: str,
    part: str,
    status: int,
    message: str,
) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    if part:
        server.fail(part, status)
    code = f"from cmpl_zoo import hub; hub.push({str(folder)!r}, {repository!r})"
    assert message in publisher.fail(code)
    assert repository not in server.repositories


def test_a_failed_push_deletes_no_repository_that_was_there(
    publisher: Client, server: Hub, model: nn.Module, files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    server.publish("someone/hidden", files, hidden=True)
    error = publisher.fail(f"from cmpl_zoo import hub; hub.push({str(folder)!r}, 'someone/hidden')")
    assert "this repository exists" in error and "nothing was published" in error
    assert len(server.repositories["someone/hidden"].commits) == 1


def test_metadata_that_the_hub_refuses(publisher: Client, server: Hub, model: nn.Module, tmp_path: Path) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    server.metadata_errors.append('"license" must be one of')
    sentence = publisher.fail(f"from cmpl_zoo import hub; hub.push({str(folder)!r}, 'someone/odd-license')")
    server.metadata_errors.clear()
    assert '"license" must be one of' in sentence and "nothing was published" in sentence
    assert "someone/odd-license" not in server.repositories


def test_push_reads_the_folder_and_not_the_name(publisher: Client, model: nn.Module, tmp_path: Path) -> None:
    folder = hub.save(model, tmp_path / "r3d50_eighth", NAMES)
    (folder / "model.safetensors").write_bytes(b"garbage")
    push = "from cmpl_zoo import hub; hub.push('r3d50_eighth', 'a/b', dry_run=True)"
    assert "damaged" in publisher.fail(f"import os; os.chdir({str(tmp_path)!r})\n{push}")


def test_what_is_saved_loads(tmp_path: Path) -> None:
    for channels in (1, 4):
        model = cmpl_zoo.create_model("r3d50_eighth", num_classes=2, in_chans=channels)
        again = cmpl_zoo.create_model(hub.save(model, tmp_path / str(channels), ["caf\u00e9\u00a0noir", "walk"]))
        assert digest(again.state_dict()) == digest(model.state_dict())
        assert list(again.pretrained_cfg["label_names"]) == ["caf\u00e9\u00a0noir", "walk"]
        in_colors = cmpl_zoo.create_model(tmp_path / str(channels), in_chans=3)
        assert in_colors.pretrained_cfg["mean"] == pytest.approx([0.449] * 3, abs=1e-3)
        assert in_colors.pretrained_cfg["input_size"][0] == len(cmpl_zoo.resolve_clip_config(in_colors)["std"]) == 3
        without = cmpl_zoo.create_model(tmp_path / str(channels), pretrained=False)
        assert len(without.fc.weight) == 2 and digest(without.state_dict()) != digest(model.state_dict())
    given = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    adapted = cmpl_zoo.create_model(tmp_path / "4", in_chans=3, pretrained_cfg_overlay=given)
    assert {name: tuple(adapted.pretrained_cfg[name]) for name in given} == given
    card = Path(hub.save(model, tmp_path / "odd", ["*star*", "ti`ck"]), "README.md").read_text()
    assert card.endswith("## Classes\n\n`*star*`, `` ti`ck ``\n")
    with pytest.raises(ValueError, match="control characters"):
        hub.save(model, tmp_path / "bad", ["a\x1b[2J", "b"])
    assert not (tmp_path / "bad").exists()


def test_push_refuses(
    publisher: Client, client: Client, server: Hub, model: nn.Module, files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    push = "from cmpl_zoo import hub; hub.push({!r}, {!r}, private={})"
    assert "log in" in client.fail(push.format(str(folder), "someone/without-token", False))
    server.publish("someone/public", files)
    assert "public already" in publisher.fail(push.format(str(folder), "someone/public", True))
    assert len(server.repositories["someone/public"].commits) == 1
    (folder / "model.safetensors").write_bytes(b"no weights")
    asked = len(server.requests)
    assert "damaged" in publisher.fail(push.format(str(folder), "someone/damaged", False))
    reply = publisher.ask(push.format(str(tmp_path), "someone/nothing", False))
    assert "no model in this folder" in reply["error"]
    assert len(server.requests) == asked


def test_a_directory_without_a_card_gets_one(publisher: Client, server: Hub, model: nn.Module, tmp_path: Path) -> None:
    folder = hub.save(model, tmp_path / "primary", NAMES)
    (folder / "README.md").unlink()
    publisher.run(f"from cmpl_zoo import hub; value = hub.push({str(folder)!r}, 'someone/no-card')")
    card = next(iter(server.repositories["someone/no-card"].commits.values()))["README.md"].decode()
    assert "How this model was trained is not recorded." in card
    assert not (folder / "README.md").exists()
