"""A stand-in for the Hugging Face Hub on loopback: what huggingface_hub asks of it over HTTP, and no more.

Files live in commits of repositories in memory. A test makes it fail on purpose: `fail` answers with a status, `cut`
ends a download half-way, `lie` announces another size than it sends.
"""

import base64
import functools
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"


@functools.cache  # the Hub knows it before it is asked; hashing a large file would pass for the Hub's slowness
def etag(content: bytes) -> str:
    """What tells a file's contents from others."""
    return f'"{hashlib.sha1(content).hexdigest()}"'


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    hidden: bool = False  # from everybody, as from a token without the right to read it
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by name, the latest last

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit of these files, with those of the one before; returns its name."""
        files = (list(self.commits.values()) or [{}])[-1] | files
        digest = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[digest] = files
        return digest

    def find(self, revision: str) -> str | None:
        if revision in ("main", "HEAD") and self.commits:
            return list(self.commits)[-1]
        return revision if revision in self.commits else None


class Hub:
    """The state of the stand-in; `requests` are (method, path) in order."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []  # asked for, of files
        self.metadata_errors: list[str] = []  # found in every model card
        self.failures: list[list] = []  # [part of a path, status, times left]
        self.cuts: list[list] = []  # [part of a path, bytes, times left]
        self.lies: list[list] = []  # [part of a path, bytes, times left]
        self.url = ""

    def publish(self, name: str, files: dict[str, bytes], **kwargs: bool) -> str:
        return self.repositories.setdefault(name, Repository(**kwargs)).commit(files)

    def fail(self, part: str, status: int, times: int = 1000) -> None:
        self.failures.append([part, status, times])

    def cut(self, part: str, after: int, times: int = 1000) -> None:
        self.cuts.append([part, after, times])

    def lie(self, part: str, size: int, times: int = 1000) -> None:
        self.lies.append([part, size, times])

    def take(self, faults: list[list], path: str) -> int | None:
        for fault in faults:
            if fault[0] in path and fault[2] > 0:
                fault[2] -= 1
                return fault[1]
        return None


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()

    class Bound(Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the other side to confirm its head

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append((self.command, path))
        if status := self.state.take(self.state.failures, path):
            return self.send(status, {"error": f"made to fail with {status}"})
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token != TOKEN:
            return self.send(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/repos/create":
            return self.create(json.loads(body), token)
        if path == "/api/validate-yaml":
            errors = [{"message": message} for message in self.state.metadata_errors]
            return self.send(400 if errors else 200, {"warnings": [], "errors": errors})
        if path == "/api/repos/delete":
            asked = json.loads(body)
            self.state.repositories.pop(f"{asked.get('organization') or 'someone'}/{asked['name']}", None)
            return self.send(200, {})
        if path == "/api/whoami-v2":
            return self.send(200, {"type": "user", "name": "someone", "orgs": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/([^/]+)", path):
            return self.upload(match[1], match[2], body, token)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            return self.info(match[1], match[2] or "main", token)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(match[1], match[2], match[3], token)
        return self.send(404, {"error": f"the stand-in does not know {self.command} {path}"})

    def repository(self, name: str, token: str) -> Repository | None:
        """The repository, or None after the answer that there is none to be seen."""
        found = self.state.repositories.get(name)
        if found is None or found.hidden or (found.private and not token):
            self.send(404 if token else 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return found

    def create(self, asked: dict, token: str) -> None:
        name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
        url = {"url": f"{self.state.url}/{name}", "name": name}
        if not token:
            return self.send(401, {"error": "Invalid username or password."})
        if name.startswith("foreign/"):
            return self.send(403, {"error": "You don't have the rights to create a model under this namespace"})
        if name in self.state.repositories:
            return self.send(409, url | {"error": "You already created this model repo"})
        private = asked.get("visibility") == "private" or asked.get("private", False)
        self.state.repositories[name] = Repository(private=bool(private))
        return self.send(200, url)

    def upload(self, name: str, what: str, body: bytes, token: str) -> None:
        if (repository := self.repository(name, token)) is None:
            return None
        if what == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            return self.send(200, {"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        commit = repository.commit(files)
        url = f"{self.state.url}/{name}/commit/{commit}"
        return self.send(200, {"success": True, "commitUrl": url, "commitOid": commit, "hookOutput": ""})

    def info(self, name: str, revision: str, token: str) -> None:
        if (repository := self.repository(name, token)) is None:
            return None
        commit = repository.find(revision)
        files = [{"rfilename": path} for path in repository.commits.get(commit or "", {})]
        answer = {"id": name, "sha": commit, "private": repository.private, "tags": [], "siblings": files}
        return self.send(200, answer)

    def file(self, name: str, revision: str, path: str, token: str) -> None:
        if (repository := self.repository(name, token)) is None:
            return None
        if repository.gated:
            return self.send(403, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
        if (commit := repository.find(revision)) is None:
            return self.send(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        headers = {"X-Repo-Commit": commit}
        if (content := repository.commits[commit].get(path)) is None:
            return self.send(404, {"error": "Entry not found"}, headers | {"X-Error-Code": "EntryNotFound"})
        headers["ETag"] = etag(content)
        status = 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            self.state.ranges.append(f"{name}/{path} {asked[0]}")
            start, end = int(asked[1]), int(asked[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        return self.send(status, content, headers)

    def send(self, status: int, content: bytes | dict, headers: dict[str, str] | None = None) -> None:
        if isinstance(content, dict):
            headers = {"Content-Type": "application/json", "X-Error-Message": str(content.get("error", ""))} | (
                headers or {}
            )
            content = json.dumps(content).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            if value:
                self.send_header(key, value)
        path = unquote(urlsplit(self.path).path)
        lie = self.state.take(self.state.lies, path) if self.command == "HEAD" else None
        self.send_header("Content-Length", str(lie or len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.state.take(self.state.cuts, path)
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()
