"""Shards: packed, read in place and over HTTP, by us and by the webdataset library."""

import csv
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import webdataset
from made_videos import link_many
from range_server import serving

from cmpl_zoo.datasets.lists import ListError, read_list
from cmpl_zoo.storage import cache as cache_module
from cmpl_zoo.storage import remote
from cmpl_zoo.storage.cache import Cache
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.storage.shards import read_index, read_member
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import read_frames, video_info
from cmpl_zoo_cli.main import main

SIZE = "0.15"  # MB of a shard


@pytest.fixture(scope="session")
def packed(videos, tmp_path_factory) -> Path:
    """All made videos in shards of 150 kB."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    assert shard(videos / "videos.csv", folder, videos, "--shard-size", SIZE) == 0
    return folder


def shard(file: Path, folder: Path, root: Path, *options: str) -> int:
    return main(["shard", str(file), "-o", str(folder), "--root", str(root), *options])


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "RETRY_PAUSES", (0.01,) * 6)


@pytest.fixture
def no_cache(monkeypatch):
    monkeypatch.setenv("CMPL_ZOO_CACHE_GB", "0")
    cache_module.default_cache.cache_clear()
    yield
    cache_module.default_cache.cache_clear()


def test_every_video_is_in_a_shard_as_it_was(videos, packed):
    in_shards, in_files = read_list(packed / "shards.csv", packed), read_list(videos / "videos.csv", videos)
    assert in_shards.labels == in_files.labels
    for address, path in zip(in_shards.paths, in_files.paths, strict=True):
        assert read_member(address) == Path(path).read_bytes()
    for address, path in list(zip(in_shards.paths, in_files.paths, strict=True))[::5]:
        assert torch.equal(read_frames(address, [0, 7, 40, 41]), read_frames(path, [0, 7, 40, 41]))
        assert video_info(address) == video_info(path)
    sizes = [file.stat().st_size for file in packed.glob("*.tar")]
    assert len(sizes) > 2
    assert max(sizes) <= 150_000


def test_webdataset_reads_our_shards(videos, packed):
    shards = sorted(str(file) for file in packed.glob("*.tar"))
    rows = list(csv.DictReader((videos / "videos.csv").read_text().splitlines()))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(samples) == len(rows)
    for sample, row in zip(samples, rows, strict=True):
        assert json.loads(sample["json"]) == row
        assert sample["mp4"] == (videos / row["path"]).read_bytes()


def test_the_same_lists_serve_a_folder_and_its_shards(videos, packed, tmp_path):
    (tmp_path / "some.csv").write_text("path,label\nrun/02.mp4,run\n./run/01.mp4,run\n")
    addresses = read_list(tmp_path / "some.csv", packed).paths
    assert addresses[0].startswith(f"{packed}/shard-000000.tar#run/02.mp4@")
    assert [video_info(a) for a in addresses] == [video_info(videos / f"run/0{i}.mp4") for i in (2, 1)]
    (tmp_path / "other.csv").write_text("path,label\nrun/01.mp4,run\nwalk/away.mp4,walk\n")
    with pytest.raises(ListError, match=r"other\.csv, line 3: walk/away\.mp4 .* shards"):
        read_list(tmp_path / "other.csv", packed)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_in_the_same_bytes(videos, tmp_path):
    many = link_many(videos / "run" / "00.mp4", tmp_path / "videos", 1500)
    args = ["shard", str(many), "--root", str(tmp_path / "videos"), "--shard-size", "0.5"]
    assert main([*args, "-o", str(tmp_path / "whole")]) == 0
    command = [sys.executable, "-m", "cmpl_zoo_cli", *args, "-o", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "shard-000001.tar").exists():
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "shards.csv").exists()
    with pytest.raises(StorageError, match="cannot read this index of shards"):
        read_index(str(tmp_path / "killed"))
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    whole, killed = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("whole", "killed"))
    assert whole == killed


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "path,label\nrun/01.mp4,run\nrun/none.mp4,run\n",
            [],
            r"line 3: .*none\.mp4 cannot be packed \(No such",
        ),
        ("path,label\nrun,run\n", [], r"line 2: .*run is a folder.*`cmpl-zoo prepare`"),
        ("path,label\na.npy,run\n", [], r"a\.npy .*decoded frames.*`cmpl-zoo prepare`"),
        ("path,label,size\nrun/01.mp4,run,3\n", [], r"column 'size' "),
        ("path,label\nrun/01.mp4,run\n", ["--shard-size", "0.0000001"], r"--shard-size"),
        ("path,label\n", [], r"holds no video"),
    ],
)
def test_what_cannot_be_packed_is_named_before_anything_is_written(videos, tmp_path, capsys, text, options, message):
    (tmp_path / "list.csv").write_text(text)
    assert shard(tmp_path / "list.csv", tmp_path / "out", videos, *options) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_shards_of_another_list_are_left_alone(videos, packed, tmp_path, capsys):
    before = {file.name: file.stat().st_mtime_ns for file in packed.iterdir()}
    (tmp_path / "some.csv").write_text("path,label\nrun/02.mp4,run\n")
    assert shard(tmp_path / "some.csv", packed, videos) == 2
    assert "holds shards of another list" in capsys.readouterr().err
    assert shard(videos / "videos.csv", packed, videos, "--shard-size", SIZE) == 0  # the same again: nothing to do
    assert {f.name: f.stat().st_mtime_ns for f in packed.iterdir() if f.suffix == ".tar"} == {
        name: at for name, at in before.items() if name.endswith(".tar")
    }


def test_one_process_at_a_time_packs_into_a_folder(videos, tmp_path, capsys):
    words = [videos / "videos.csv", tmp_path, videos, "--shard-size", SIZE]
    assert shard(*words) == 0
    writing = tmp_path / "shards.csv.writing"
    (tmp_path / "shards.csv").rename(writing)
    (tmp_path / "shard-000001.tar").unlink()
    with writing.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert shard(*words) == 2
    assert "another process is writing shards there; wait for its end" in capsys.readouterr().err
    assert not (tmp_path / "shard-000001.tar").exists() and shard(*words) == 0


def test_the_folder_of_the_videos_becomes_no_shard_set(videos, packed, tmp_path, capsys):
    before = sorted(videos.iterdir())
    assert shard(videos / "videos.csv", videos, videos) == 2
    assert "is the folder of the videos, which would become a shard set" in capsys.readouterr().err
    assert sorted(videos.iterdir()) == before
    assert main(["check", str(packed), "-o", str(tmp_path / "checked")]) == 2
    assert re.search(r"is a shard set; give a list of its videos and --root", capsys.readouterr().err)


def test_a_shard_that_was_cut_off_is_packed_again(videos, tmp_path):
    words = [videos / "videos.csv", tmp_path, videos, "--shard-size", SIZE]
    assert shard(*words) == 0
    whole = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "shard-000001.tar").write_bytes(whole["shard-000001.tar"][:3000])
    assert shard(*words) == 0
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == whole


def test_damaged_shards_and_indexes_are_named(packed, tmp_path):
    broken = shutil.copytree(packed, tmp_path / "broken")
    address = read_list(packed / "shards.csv", broken).paths[5]
    os.truncate(broken / "shard-000000.tar", 2000)
    with pytest.raises(StorageError, match=r"shard-000000\.tar: it ends before run/05\.mp4@\d+\+\d+ does"):
        read_frames(address, [0])
    (broken / "shard-000000.tar").unlink()
    with pytest.raises(StorageError, match=r"shard-000000\.tar: cannot read this shard \(No such file"):
        read_frames(address, [0])
    for text in (
        "",
        "path,label\na.mp4,x\n",
        "path,shard,offset,size\na.mp4,s.tar,zero,1\n",
        "path,shard,offset,size\na\n",
    ):
        (broken / "shards.csv").write_text(text)
        with pytest.raises(StorageError, match=r"shards\.csv: not an index of shards"):
            read_list(packed / "shards.csv", broken)


def test_over_http_with_a_server_that_fails_and_comes_back(videos, packed, no_cache, no_pauses):
    with serving(packed) as server:
        server.failures = 3
        addresses = read_list(videos / "videos.csv", server.url).paths
        for index in (0, 15, 35):
            server.failures = 4
            path = read_list(videos / "videos.csv", videos).paths[index]
            assert torch.equal(read_frames(addresses[index], [0, 9]), read_frames(path, [0, 9]))
        server.failures = 99
        with pytest.raises(StorageError, match=r"cannot be read, after 7 attempts.*--resume"):
            read_frames(addresses[0], [0])
        server.failures = 0
        with pytest.raises(StorageError, match=r"none\.tar: there is no such file; check the address"):
            read_frames(f"{server.url}/none.tar#a.mp4@512+100", [0])
    with pytest.raises(StorageError, match=r"cannot be read, after 7 attempts"):  # nobody listens any more
        read_frames(addresses[1], [0])


@pytest.mark.parametrize(("url", "message"), [("nope://a/b", "nope"), ("s3://a/b", "s3fs")])
def test_addresses_that_nothing_can_read(videos, url, message):
    with pytest.raises(StorageError, match=message):
        read_list(videos / "videos.csv", url)


def test_a_file_of_another_kind_within_a_shard_is_a_bad_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    (tmp_path / "list.csv").write_text("path,label\na.mp4,x\n")
    assert shard(tmp_path / "list.csv", tmp_path / "out", tmp_path) == 0
    with pytest.raises(VideoError, match=r"#a\.mp4@512\+15: not a video"):
        video_info(read_list(tmp_path / "list.csv", tmp_path / "out").paths[0])


def test_the_cache_serves_the_second_pass_and_stays_within_its_bound(videos, tmp_path, monkeypatch):
    """A cache with room for half of 150 videos."""
    clip = videos / "run" / "00.mp4"
    many, bound = link_many(clip, tmp_path / "videos", 150), 75 * clip.stat().st_size
    assert shard(many, tmp_path / "shards", tmp_path / "videos") == 0
    monkeypatch.setenv("CMPL_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CMPL_ZOO_CACHE_GB", str(bound / 1e9))
    cache_module.default_cache.cache_clear()
    with serving(tmp_path / "shards") as server:
        addresses = read_list(many, server.url).paths
        for _ in range(2):
            server.requests.clear()
            for address in addresses:
                read_frames(address, [0])
            used = sum(file.stat().st_size for file in (tmp_path / "cache").iterdir())
            assert used <= bound
        assert used > 0
        assert len(server.requests) < len(addresses)  # some came from the cache
        kept = sorted((tmp_path / "cache").iterdir())
        kept[0].write_bytes(b"cut")  # a damaged one is fetched again
        for address in addresses:
            assert torch.equal(read_frames(address, [3]), read_frames(clip, [3]))
    cache_module.default_cache.cache_clear()


def test_the_cache_forgets_what_nobody_used_for_a_week(tmp_path):
    cache = Cache(tmp_path, 64_000)
    for name in ("a", "b"):
        cache.put(name, bytes(500))
    (tmp_path / "mine.mp4").write_bytes(bytes(40))
    (tmp_path / "mine").mkdir()
    for name in ("a.cmpl_zoo", "mine.mp4", "mine"):
        os.utime(tmp_path / name, (0, 0))
    assert Cache(tmp_path, 64_000)._used() == 500
    assert (tmp_path / "mine.mp4").exists(), "what others keep in the folder stays"
    assert cache.get("a") is None
    assert cache.get("b") == bytes(500)


def test_a_full_cache_is_not_looked_through_for_every_video(tmp_path, monkeypatch):
    full = Cache(tmp_path, 64_000)
    (tmp_path / "a.cmpl_zoo").write_bytes(bytes(64_000))
    full.put("b", bytes(500))
    (tmp_path / "a.cmpl_zoo").unlink()
    full.put("b", bytes(500))
    assert full.get("b") is None, "it was looked through a moment ago"
    monkeypatch.setattr(cache_module, "RECHECK_AFTER", 0.0)
    anew = Cache(tmp_path, 64_000)
    (tmp_path / "a.cmpl_zoo").write_bytes(bytes(64_000))
    anew.put("b", bytes(500))
    (tmp_path / "a.cmpl_zoo").unlink()
    anew.put("b", bytes(500))
    assert anew.get("b") == bytes(500)


def test_a_cache_that_cannot_be_written_costs_nothing_but_speed(videos, packed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CMPL_ZOO_CACHE", str(tmp_path / "file"))
    cache_module.default_cache.cache_clear()
    with serving(packed) as server:
        assert len(read_frames(read_list(videos / "videos.csv", server.url).paths[0], [0])) == 1
    cache_module.default_cache.cache_clear()
