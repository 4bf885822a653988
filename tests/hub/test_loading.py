"""Weights from the Hub and from the package: every way in, and what must not come in."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hub_client import CLIP, NAMES, Client, digest
from hub_server import Hub
from safetensors.torch import load, load_file, save, save_file
from torch import nn

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.models.r3d import checkpoint_filter_fn

REPO = Path(__file__).resolve().parents[2]


def with_config(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files with other values in config.json, `part__key` in a part of it."""
    config = json.loads(files["config.json"])
    for name, value in changes.items():
        part, _, key = name.rpartition("__")
        (config[part] if part else config)[key] = value
    return files | {"config.json": json.dumps(config).encode()}


def test_every_way_in_gives_what_was_published(
    client: Client, server: Hub, files: dict[str, bytes], home: Path, tmp_path: Path
) -> None:
    server.publish("ways/in", files)
    (tmp_path / "model").mkdir()
    for name, content in files.items():
        (tmp_path / "model" / name).write_bytes(content)
    ways = [
        "cmpl_zoo.create_model('hf-hub:ways/in', pretrained=True)",
        "timm.create_model('hf-hub:ways/in', pretrained=True)",
        f"cmpl_zoo.create_model({str(tmp_path / 'model')!r})",
        f"cmpl_zoo.create_model('local-dir:{tmp_path / 'model'}', pretrained=True)",
        f"timm.create_model('local-dir:{tmp_path / 'model'}', pretrained=True)",
        "cmpl_zoo.create_model('hf_hub:ways/in', pretrained=True)",
        f"cmpl_zoo.create_model({server.url + '/ways/in'!r}, pretrained=True)",
        f"cmpl_zoo.create_model({server.url + '/ways/in/tree/main'!r}, pretrained=True)",
        f"cmpl_zoo.create_model({server.url + '/ways/in/blob/main/model.safetensors'!r}, pretrained=True)",
        "cmpl_zoo.create_model('hf://ways/in@main/', pretrained=True)",
    ]
    found = client.run(f"""
        models = [{", ".join(ways)}]
        names = [model.pretrained_cfg.get("label_names") for model in models]
        value = [[digest(m), m.num_classes, names, m.clip] for m, names in zip(models, names)]
    """)
    want = digest(load(files["model.safetensors"]))
    assert [way[0] for way in found] == [want] * len(ways)
    assert [way[1:] for way in found] == [[3, NAMES, CLIP]] * len(ways)


def test_a_published_tag_loads_by_name_and_by_torch_hub(client: Client, server: Hub, tmp_path: Path) -> None:
    torch.manual_seed(1)
    names = [f"class {i}" for i in range(101)]
    big = cmpl_zoo.create_model("r3d50_quarter", num_classes=101, clip={"frames": 16, "stride": 2})
    folder = hub.save(big, tmp_path / "model", names)
    server.publish("zoo/r3d50_quarter.cmpl_ucf101_1pct", {file.name: file.read_bytes() for file in folder.iterdir()})
    found = client.run(f"""
        name = "r3d50_quarter.cmpl_ucf101_1pct"
        models = [
            cmpl_zoo.create_model(name, pretrained=True),
            timm.create_model(name, pretrained=True),
            torch.hub.load({str(REPO)!r}, name.replace(".", "_"), source="local"),
        ]
        value = [[digest(model), model.pretrained_cfg["label_names"], model.clip] for model in models]
        value.append(cmpl_zoo.create_model(name, True, num_classes=7, clip={{"crops": 1}}).clip)
        assert name in cmpl_zoo.list_models(pretrained=True)
    """)
    clip = {"frames": 16, "stride": 2, "clips": 10, "crops": 3}
    assert found[:3] == [[digest(big.state_dict()), names, clip]] * 3
    assert found[3] == clip | {"crops": 1}


def test_the_second_load_comes_from_the_cache(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    server.publish("cached/model", files)
    code = "value = digest(cmpl_zoo.create_model('hf-hub:cached/model', pretrained=True))"
    first = client.run(code)
    server.requests.clear()
    assert client.run(code) == first
    assert {method for method, _ in server.requests} <= {"HEAD"}


def test_a_revision(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    old = server.publish("with/revisions", files)
    other = {name: weight + 1 for name, weight in load(files["model.safetensors"]).items()}
    server.publish("with/revisions", {"model.safetensors": save(other)})
    code = "value = digest(cmpl_zoo.create_model('hf-hub:with/revisions%s', pretrained=True))"
    assert client.run(code % f"@{old}") == digest(load(files["model.safetensors"]))
    assert client.run(code % "") == digest(other)
    assert "no such revision" in client.fail(code % "@nowhere")


def test_other_classes_channels_and_features(
    client: Client, server: Hub, files: dict[str, bytes], model: nn.Module
) -> None:
    server.publish("adapt/model", files)
    found = client.run("""
        name = "hf-hub:adapt/model"
        value = [
            cmpl_zoo.create_model(name, True, num_classes=7).fc.weight.shape,
            cmpl_zoo.create_model(name, True, num_classes=7).layer4[2].conv3.weight.sum().item(),
            cmpl_zoo.create_model(name, True, in_chans=1).conv1.weight.sum().item(),
            [y.shape[1] for y in cmpl_zoo.create_model(name, True, features_only=True, out_indices=(1, 4))(
                torch.zeros(1, 3, 2, 32, 32))],
            cmpl_zoo.create_model(name, True, clip={"clips": 5}).clip,
        ]
    """)
    assert found[0] == [7, 256]
    assert found[1] == model.layer4[2].conv3.weight.sum().item()
    assert found[2] == pytest.approx(model.conv1.weight.sum().item(), abs=1e-3)
    assert found[3] == [32, 256]
    assert found[4] == CLIP | {"clips": 5}


def test_cache_dir(client: Client, server: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    server.publish("cache/dir", files)
    client.run(f"cmpl_zoo.create_model('hf-hub:cache/dir', True, cache_dir={str(tmp_path)!r}); value = 1")
    assert (tmp_path / "models--cache--dir").is_dir()


@pytest.mark.slow
def test_offline_and_unreachable(server: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    server.publish("off/line", files)
    code = "value = digest(cmpl_zoo.create_model('hf-hub:%s', pretrained=True))"
    online = Client(tmp_path, server.url)
    first = online.run(code % "off/line")
    online.close()
    asked = len(server.requests)
    offline = Client(tmp_path, server.url, HF_HUB_OFFLINE="1")
    assert offline.run(code % "off/line") == first
    assert "not in the cache and the Hub could not be reached" in offline.fail(code % "never/seen")
    assert "never/seen" in offline.fail(code % "never/seen")
    offline.close()
    assert len(server.requests) == asked
    nobody = Client(tmp_path, "http://127.0.0.1:9")
    assert nobody.run(code % "off/line") == first  # the cache serves, as with timm
    assert "could not be reached" in nobody.fail(code % "never/seen")
    nobody.close()


def test_the_address_of_the_public_hub_is_one_of_a_repository(client: Client, server: Hub) -> None:
    for address in ("https://huggingface.co/no/model/tree/v1", "https://hf.co/no/model@v1"):
        assert client.fail(f"cmpl_zoo.create_model('{address}', pretrained=True)").startswith(
            "no/model@v1: there is no "
        )


def test_a_cache_that_cannot_be_made(server: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    server.publish("no/room", files)
    (tmp_path / "file").touch()
    client = Client(tmp_path / "file" / "below", server.url)
    sentence = client.fail("cmpl_zoo.create_model('hf-hub:no/room', pretrained=True)")
    assert str(tmp_path / "file" / "below") in sentence and "set HF_HOME to a folder that can be written" in sentence
    client.close()


@pytest.mark.parametrize("proxy", ["odd://127.0.0.1:9", pytest.param("http://127.0.0.1:9", marks=pytest.mark.slow)])
def test_a_proxy_that_there_is_not_is_named(proxy: str, tmp_path: Path) -> None:
    """A refused connection is tried again for twenty seconds."""
    client = Client(tmp_path, "http://hub.invalid", HTTP_PROXY=proxy, NO_PROXY="", no_proxy="")
    sentence = client.fail("cmpl_zoo.create_model('hf-hub:some/model', pretrained=True)")
    assert sentence.startswith("some/model: ") and "the proxy that HTTP_PROXY names" in sentence
    assert "config.json" not in sentence
    client.close()


# What the Hub may answer


def test_missing_private_and_gated(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    server.publish("some/private", files, private=True)
    server.publish("some/gated", files, gated=True)
    load = "cmpl_zoo.create_model('hf-hub:some/%s', pretrained=True)"
    assert "no such repository, or it is private" in client.fail(load % "thing")
    assert "no such repository, or it is private" in client.fail(load % "private")
    assert "gated; accept its conditions" in client.fail(load % "gated")


def test_a_bad_token(server: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    server.publish("for/all", files)
    client = Client(tmp_path, server.url, HF_TOKEN="hf_wrong")
    assert "refuses the access token" in client.fail("cmpl_zoo.create_model('hf-hub:for/all', pretrained=True)")
    client.close()


def test_a_tag_that_is_not_there_says_how_to_train_it(client: Client) -> None:
    for make in ("cmpl_zoo.create_model", "timm.create_model"):
        sentence = client.fail(f"{make}('r3d50.cmpl_k400_1pct', pretrained=True)")
        assert sentence.startswith("zoo/r3d50.cmpl_k400_1pct: there is no such repository")
        assert "cmpl-zoo train --config k400_1pct" in sentence
        assert "pretrained=False" in sentence


def test_500_then_200(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    server.publish("shaky/model", files)
    server.fail("shaky/model/resolve", 500, times=1)
    client.run("cmpl_zoo.create_model('hf-hub:shaky/model', pretrained=True); value = 1")


def test_a_broken_server(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    server.publish("broken/model", files)
    server.fail("broken/model/resolve", 501)
    assert "status 501" in client.fail("cmpl_zoo.create_model('hf-hub:broken/model', pretrained=True)")


def test_a_download_cut_half_way_is_taken_up_again(
    client: Client, server: Hub, files: dict[str, bytes], home: Path
) -> None:
    server.publish("cut/once", files)
    server.cut("cut/once/resolve/main/model.safetensors", 1_000_000, times=2)
    code = "value = digest(cmpl_zoo.create_model('hf-hub:cut/once', pretrained=True))"
    small = "import huggingface_hub; huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 65536\n"  # 10 MiB: all of the file
    assert client.run(small + code) == digest(load(files["model.safetensors"]))
    starts = [int(asked.partition("bytes=")[2].partition("-")[0]) for asked in server.ranges if "cut/once" in asked]
    assert len(starts) == 2 and 0 < starts[0] < starts[1]

    server.publish("cut/always", files)
    server.cut("cut/always/resolve/main/model.safetensors", 100)
    assert "connection to the Hub failed" in client.fail(code.replace("once", "always"))
    assert not list(home.rglob("models--cut--always/snapshots/*/model.safetensors"))
    server.cuts.clear()
    assert client.run(code.replace("once", "always")) == digest(load(files["model.safetensors"]))


def test_a_file_of_another_size_than_announced(
    client: Client, server: Hub, files: dict[str, bytes], home: Path
) -> None:
    server.publish("wrong/size", files)
    server.lie("wrong/size/resolve/main/model.safetensors", 5_000_000)
    sentence = client.fail("cmpl_zoo.create_model('hf-hub:wrong/size', pretrained=True)")
    assert sentence.startswith("wrong/size: ") and "size" in sentence.partition(": ")[2]
    assert not list(home.rglob("models--wrong--size/snapshots/*/model.safetensors"))


# What a repository may hold


def refused(client: Client, server: Hub, name: str, files: dict[str, bytes]) -> str:
    server.publish(f"bad/{name}", files)
    return client.fail(f"cmpl_zoo.create_model('hf-hub:bad/{name}', pretrained=True)")


class Danger:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("/tmp/cmpl_zoo_was_executed",)


def test_a_pickle_is_refused(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    bad = {"config.json": files["config.json"], "pytorch_model.bin": pickle.dumps(Danger())}
    assert "lacks model.safetensors" in refused(client, server, "pickle", bad)
    named = with_config(bad, pretrained_cfg__hf_hub_filename="pytorch_model.bin", pretrained_cfg__custom_load="hf")
    assert "lacks model.safetensors" in refused(client, server, "named_pickle", named)
    server.publish("bad/timm", named)
    reply = client.ask("timm.create_model('hf-hub:bad/timm', pretrained=True)")
    assert "lacks model.safetensors" in reply["error"]
    assert not Path("/tmp/cmpl_zoo_was_executed").exists()
    assert not [path for _, path in server.requests if path.endswith(".bin")]


def test_no_config(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    bad = {"model.safetensors": files["model.safetensors"]}
    assert "lacks config.json" in refused(client, server, "no_config", bad)


@pytest.mark.parametrize(
    ("name", "content"), [("page", b"<html>not found</html>"), ("empty", b""), ("header", b"\xff" * 4096)]
)
def test_no_safetensors_inside(client: Client, server: Hub, files: dict[str, bytes], name: str, content: bytes) -> None:
    assert "damaged or no safetensors" in refused(client, server, name, files | {"model.safetensors": content})


def test_a_file_cut_before_it_was_published(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    bad = files | {"model.safetensors": files["model.safetensors"][:-1000]}
    assert "damaged or no safetensors" in refused(client, server, "short", bad)


def test_weights_that_do_not_fit(client: Client, server: Hub, files: dict[str, bytes], model: nn.Module) -> None:
    weights = model.state_dict()
    part = {key: weight for key, weight in weights.items() if not key.startswith("layer4.")}
    headless = {key: weight for key, weight in weights.items() if not key.startswith("fc.")}
    more = weights | {"layer5.weight": torch.zeros(3)}
    for name, bad, message in (
        ("part", part, "missing (layer4.0.conv1.weight"),
        ("headless", headless, "missing (fc.weight, fc.bias)"),
        ("more", more, "unknown (layer5.weight)"),
    ):
        assert message in refused(client, server, name, files | {"model.safetensors": save(bad)})
    wide = with_config(files, architecture="r3d50_quarter")
    assert "of another shape (conv1.weight" in refused(client, server, "wide", wide)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet50"}, "architecture is 'resnet50', no model of this zoo"),
        ({"architecture": "../../etc/passwd"}, "no model of this zoo"),
        ({"architecture": ["r3d50"]}, "architecture is ['r3d50'], no model of this zoo"),
        ({"model_args__evil": 1}, "model_args has unknown fields (evil)"),
        ({"model_args__block": "os.system"}, "model_args has unknown fields (block)"),
        ({"model_args": 5}, "not of timm's form"),
        ({"pretrained_cfg__loader": "x"}, "pretrained_cfg has unknown fields (loader)"),
        ({"num_classes": 10**12}, "num_classes is 1000000000000"),
        ({"model_args__num_classes": 10**12}, "1000000000000 in model_args"),
        ({"pretrained_cfg__input_size": [3, 10**9, 10**9]}, "height is 1000000000"),
        ({"pretrained_cfg__input_size": [8, 3, 224, 224]}, "it must be 3 numbers"),
        ({"model_args__clip": {"frames": 10**9}}, "frames of test views; 10,000 are the most"),
        ({"model_args__clip": {"frames": 1000, "clips": 1000}}, "10,000 are the most"),
        ({"model_args__num_classes": 5}, "num_classes is 3, and 5 in model_args"),
        ({"model_args__global_pool": "evil"}, "global_pool is 'evil'"),
        ({"model_args__drop_rate": "much"}, "drop_rate is ['much']"),
        ({"model_args__subtract_mean_frame": "yes"}, "subtract_mean_frame is 'yes'; it must be true or false"),
        ({"model_args__normalize_clip": "yes"}, "normalize_clip is 'yes'; it must be true or false"),
        ({"pretrained_cfg__mean": [10**400, 0, 0]}, "config.json"),
        ({"label_names": ["one", "two"]}, "2 label names for a model of 3 classes"),
        ({"model_args__clip": [8, 8]}, "clip is [8, 8]"),
        ({"model_args__clip": {"speed": 2}}, "clip has no setting speed"),
        ({"pretrained_cfg__std": [0, 0, 0]}, "std is [0, 0, 0]"),
        ({"pretrained_cfg__mean": "red"}, "mean is 'red'"),
        ({"pretrained_cfg__crop_pct": 0}, "crop_pct is 0"),
        ({"label_names": ["\x1b[2Jrun", "walk", "jump"]}, "has control characters"),
        ({"label_names": ["run", "walk", "run"]}, "two classes are called 'run'"),
        ({"label_names": {"a": 1}}, "label_names must be"),
    ],
)
def test_hostile_config(
    client: Client, server: Hub, files: dict[str, bytes], changes: dict[str, Any], message: str
) -> None:
    bad = with_config(files, **changes)
    assert message in refused(client, server, f"config{abs(hash(message + str(changes))):x}", bad)


def test_a_config_cannot_leave_layers_random(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    """timm leaves out what a configuration calls the classifier as soon as the number of classes differs."""
    odd = {
        "classifier": ["fc", "conv1", "layer4.0.conv1"],
        "fixed_input_size": True,
        "first_conv": 5,
        "label_offset": 1,
    }
    server.publish("odd/fields", with_config(files, **{f"pretrained_cfg__{key}": value for key, value in odd.items()}))
    weights = load(files["model.safetensors"])
    found = client.run("""
        models = [
            cmpl_zoo.create_model("hf-hub:odd/fields", True, num_classes=7),
            timm.create_model("hf-hub:odd/fields", pretrained=True, num_classes=7),
            cmpl_zoo.create_model("hf-hub:odd/fields", True),
        ]
        value = [[m.conv1.weight.tolist(), m.layer4[0].conv1.weight.tolist()] for m in models]
    """)
    want = [weights["conv1.weight"].tolist(), weights["layer4.0.conv1.weight"].tolist()]
    assert found == [want] * 3


def test_a_hostile_config_through_plain_timm(client: Client, server: Hub, files: dict[str, bytes]) -> None:
    server.publish("hostile/timm", with_config(files, num_classes=10**12, model_args__num_classes=10**12))
    assert "hostile/timm: config.json: num_classes is 1000000000000" in client.fail(
        "timm.create_model('hf-hub:hostile/timm', pretrained=True)"
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"not json", b'{"architecture": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_config_that_is_none(client: Client, server: Hub, files: dict[str, bytes], content: bytes) -> None:
    bad = files | {"config.json": content}
    assert "config.json" in refused(client, server, f"none{len(content)}{content[:12].hex()}", bad)


def test_a_file_named_elsewhere_is_not_followed(
    client: Client, server: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    stranger = tmp_path / "other.safetensors"
    save_file({key: weight + 1 for key, weight in load(files["model.safetensors"]).items()}, stranger)
    bad = with_config(files, pretrained_cfg__file=str(stranger), pretrained_cfg__url="http://127.0.0.1:9/x.pth")
    server.publish("else/where", bad)
    found = client.run("value = digest(cmpl_zoo.create_model('hf-hub:else/where', pretrained=True))")
    assert found == digest(load(files["model.safetensors"]))


def test_odd_names(client: Client) -> None:
    for name in ("hf-hub:a/b/c", "hf-hub:../../etc", "hf-hub:", "hf-hub:one", "hf-hub:a/b@c@d"):
        client.fail(f"cmpl_zoo.create_model({name!r}, pretrained=True)")


# Image weights


def test_in1k_gives_for_a_still_video_what_the_image_gives(client: Client, server: Hub) -> None:
    torch.manual_seed(5)
    image = timm.create_model("resnet50", zero_init_last=False).eval()
    for module in image.modules():  # statistics that matter
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    server.publish("timm/resnet50.tv_in1k", {"model.safetensors": save(image.state_dict())})
    picture = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    found = client.run("""
        from cmpl_zoo import create_model
        picture = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
        still = picture.double().unsqueeze(2).expand(-1, -1, 5, -1, -1)
        models = [create_model("r3d50.in1k", True), timm.create_model("r3d50.in1k", pretrained=True)]
        gray = create_model("r3d50.in1k", True, in_chans=1, num_classes=0).double().eval()
        with torch.no_grad():
            value = [model.double().eval()(still).tolist() for model in models]
            features = models[0].forward_features(still)
            spread = (features - features[:, :, :1]).abs().max().item()
            value += [features[:, :, 0].tolist(), spread, gray(still[:, :1]).shape]
    """)
    with torch.no_grad():
        logits, features = image.double()(picture.double()), image.forward_features(picture.double())
    for theirs, ours in zip((logits, logits, features), found[:3], strict=True):
        torch.testing.assert_close(torch.tensor(ours, dtype=torch.float64), theirs, rtol=1e-9, atol=1e-9)
    assert found[3] < 1e-9  # the first and the last frame too
    assert found[4] == [2, 2048]


def test_inflated_kernels_are_the_image_kernels_in_the_middle() -> None:
    image = timm.create_model("resnet50").state_dict()
    with torch.device("meta"):
        video = timm.create_model("r3d50.in1k")
    inflated = checkpoint_filter_fn(image, video)
    assert torch.equal(inflated["conv1.weight"][:, :, 2], image["conv1.weight"])
    assert inflated["conv1.weight"].shape[2] == 5 and not inflated["conv1.weight"][:, :, [0, 1, 3, 4]].any()
    assert torch.equal(inflated["layer1.0.conv1.weight"][:, :, 1], image["layer1.0.conv1.weight"])


# The one in the package


def test_the_packaged_weights_need_no_network(tmp_path: Path) -> None:
    client = Client(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    found = client.run("""
        ours, theirs = (f("r3d50_eighth", pretrained=True).eval() for f in (cmpl_zoo.create_model, timm.create_model))
        x = torch.randn(2, 3, 8, 48, 48)
        value = [torch.equal(ours(x), theirs(x)), ours.pretrained_cfg["label_names"], ours.clip]
    """)
    client.close()
    assert found[0] and len(found[1]) == 8 and found[2] == {"frames": 8, "stride": 2, "fps": 16, "clips": 2, "crops": 1}
    folder = Path(cmpl_zoo.__file__).parent / "models" / "weights" / "r3d50_eighth.cmpl_demo"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} <= {torch.float16, torch.int64}
