"""A server on loopback that answers the real W&B clients as far as they ask to log runs and to save reports."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEAM = "loopback"
REFUSED = "refused"
"""Runs in a project of this name are turned down."""
WHEN = "2025-01-01T00:00:00Z"


@dataclass
class Standin:
    """What has arrived. upserts: variables of each request to make or change a run. streams: bodies by run id.

    uploads: files that were sent, by name. views: reports by id, as last saved, with `spec`
    read. everything: raw request bodies.
    """

    url: str = ""
    upserts: list[dict[str, Any]] = field(default_factory=list)
    streams: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    everything: list[bytes] = field(default_factory=list)

    def run_id(self, name: str) -> str:
        """Id of the run that is displayed as `name`."""
        (run_id,) = {upsert["name"] for upsert in self.upserts if upsert.get("displayName") == name}
        return str(run_id)

    def summary(self, run_id: str) -> dict[str, Any]:
        """The last summary that was streamed for a run."""
        summary = {}
        for body in self.streams[run_id]:
            for line in body.get("files", {}).get("wandb-summary.json", {}).get("content", []):
                summary = json.loads(line)
        return summary

    def exit_code(self, run_id: str) -> int | None:
        """The exit code that the run was completed with; None if it was not."""
        codes = [body.get("exitcode") for body in self.streams.get(run_id, []) if body.get("complete")]
        return codes[-1] if codes else None

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of one GraphQL reply; the first field known here that the query asks for decides."""
        if (reply := self.of_report(query, variables)) is not None:
            return reply
        for name, make in _REPLIES.items():
            if name in query:
                if name == "upsertBucket":
                    self.upserts.append(variables)
                return make(self.url, variables)
        return {}

    def of_report(self, query: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The `data` of a reply that rests on what has arrived; None if the question is another one."""
        if "query Runs(" in query:
            wanted = json.loads(asked["filters"])["name"]["$in"]
            known = dict.fromkeys(upsert["name"] for upsert in self.upserts if upsert["name"] in wanted)
            runs = {"edges": [{"node": _known_run(name), "cursor": name} for name in known], **_ALL}
            return {"project": {"internalId": "internal", "runCount": len(known), "readOnly": False, "runs": runs}}
        if "query ProjectInternalId" in query:
            return {"project": {"id": "project", "internalId": "internal"}}
        if "query GetProjects" in query:
            names = dict.fromkeys(upsert["project"] for upsert in self.upserts)
            more = {"entityName": TEAM, "createdAt": WHEN, "isBenchmark": False, "user": None}
            nodes = [{"node": {"id": name, "name": name, **more}, "cursor": name} for name in names]
            return {"models": {"edges": nodes, **_ALL}}
        if "upsertView" in query:
            identity = asked["id"] or f"view{len(self.views)}"
            self.views[identity] = {**asked, "spec": json.loads(asked["spec"])}
            project = {"id": "project", "name": asked["projectName"], "entityName": asked["entityName"]}
            view = {name: asked[name] for name in ("name", "displayName", "description", "type", "spec")}
            return {"upsertView": {"view": {**view, "id": identity, "project": project}, "inserted": not asked["id"]}}
        return None


_ALL = {"pageInfo": {"endCursor": None, "hasNextPage": False}}
"""There is no further page."""


def _known_run(name: str) -> dict[str, Any]:
    unknown = ("sweepName", "state", "group", "jobType", "commit", "heartbeatAt", "description", "notes")
    user = {"name": TEAM, "username": TEAM}
    return {"id": name, "name": name, "projectId": "1", "createdAt": WHEN, "user": user, "tags": []} | {
        **dict.fromkeys(unknown),
        "displayName": name,
        "readOnly": False,
        "historyLineCount": 1,
    }


def _user(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    team = {"id": "team", "name": TEAM}
    viewer = {"id": "user", "entity": TEAM, "username": TEAM, "flags": "{}", "teams": {"edges": [{"node": team}]}}
    return {"viewer": viewer, **_server(url, asked)}


def _server(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    versions = {"max_cli_version": "99.0.0", "min_cli_version": "0.0.1"}
    return {"serverInfo": {"cliVersionInfo": versions, "latestLocalVersionInfo": None, "features": []}}


def _run(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    project = {"id": "project", "name": asked.get("project"), "entity": {"id": "team", "name": TEAM}}
    run = {"id": "bucket", "name": asked.get("name"), "displayName": asked.get("displayName"), "project": project}
    empty = {"config": "{}", "summaryMetrics": "{}", "historyLineCount": 0, "sweepName": None, "description": None}
    return {"upsertBucket": {"bucket": {**run, **empty}, "inserted": True}}


def _upload(url: str, name: str) -> dict[str, Any]:
    return {"name": name, "displayName": name, "uploadUrl": f"{url}/upload/{name}", "uploadHeaders": []}


def _run_files(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    files = [_upload(url, name) for name in asked["files"]]
    return {"createRunFiles": {"runID": "bucket", "uploadHeaders": [], "files": files}}


def _artifact(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    sequence = {"id": "sequence", "latestArtifact": None}
    return {"createArtifact": {"artifact": {"id": "artifact", "state": "PENDING", "artifactSequence": sequence}}}


def _artifact_files(url: str, asked: dict[str, Any]) -> dict[str, Any]:
    more = {
        "id": "file",
        "status": None,
        "uploadMultipartUrls": None,
        "storagePath": None,
        "artifact": {"id": "artifact"},
    }
    wanted = asked.get("artifactFiles") or asked["input"]["artifactFiles"]
    nodes = [{"node": {**_upload(url, file["name"]), **more}} for file in wanted]
    return {"createArtifactFiles": {"files": {"edges": nodes}}}


def _manifest(kind: str) -> Any:
    def reply(url: str, asked: dict[str, Any]) -> dict[str, Any]:
        file = {"id": "manifest-file", **_upload(url, "wandb_manifest.json")}
        return {kind: {"artifactManifest": {"id": "manifest", "file": file}}}

    return reply


_REPLIES: dict[str, Any] = {
    "viewer": _user,
    "serverInfo": _server,
    "upsertBucket": _run,
    "createRunFiles": _run_files,
    "createArtifactFiles": _artifact_files,
    "createArtifactManifest": _manifest("createArtifactManifest"),
    "updateArtifactManifest": _manifest("updateArtifactManifest"),
    "createArtifact(": _artifact,
    "commitArtifact": lambda url, asked: {"commitArtifact": {"artifact": {"id": "artifact", "digest": "d"}}},
    "__type": lambda url, asked: {"TypeInfo": {"fields": [], "inputFields": []}},
    "project(": lambda url, asked: {"project": {"id": "project", "artifact": None, "artifactType": None}},
}


@contextmanager
def serving() -> Iterator[Standin]:
    """A stand-in that serves until the block ends; its address is `url`."""
    standin = Standin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Keep the test's output free of one line a request."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            standin.everything.append(body)
            status = 200
            reply: dict[str, Any] = {}
            if self.path == "/graphql":
                asked = json.loads(body)
                variables = asked.get("variables") or {}
                if variables.get("project") == REFUSED:
                    status, reply = 403, {"errors": [{"message": "not for you"}]}
                else:
                    reply = {"data": standin.answer(asked["query"], variables)}
            elif self.path.endswith("/file_stream"):
                standin.streams.setdefault(self.path.split("/")[-2], []).append(json.loads(body))
            elif self.path.startswith("/upload/"):
                standin.uploads[self.path.removeprefix("/upload/")] = body
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    standin.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
