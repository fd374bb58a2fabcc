#!/usr/bin/env python3
"""Has huggingface_hub itself fill a cache, from a hub on this machine that serves one small checkpoint at two commits,
and checks that `ablate model inspect org/name[@revision]` opens what is in it and refuses what is not.

    .venv/bin/python Tools/data/check_hub_cache.py [--binary .build/release/ablate]
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHECKPOINT = ROOT / "Tests/Fixtures/parity/mha"
REPOSITORY = "org/tiny-llava"
COMMITS = {"main": "a1" * 20, "v1": "b2" * 20, "refs/pr/1": "b2" * 20}


class Hub(http.server.BaseHTTPRequestHandler):
    """The two requests that snapshot_download makes: what a revision holds, and its files with their ETags."""

    files = {path.name: path.read_bytes() for path in CHECKPOINT.iterdir() if path.is_file()}

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.path.replace("%2F", "/").split("?")[0]
        api, resolve = f"/api/models/{REPOSITORY}/", f"/{REPOSITORY}/resolve/"
        if path.startswith(api):
            revision = path.removeprefix(api).removeprefix("revision/").removeprefix("tree/")
            commit = COMMITS.get(revision, revision)
            if commit not in COMMITS.values():
                return self.send_error(404)
            body = self.tree() if "/tree/" in path else {
                "id": REPOSITORY, "sha": commit, "siblings": [{"rfilename": name} for name in self.files]}
            return self.send(json.dumps(body).encode(), {"Content-Type": "application/json"}, with_body)
        if path.startswith(resolve):
            commit, name = path.removeprefix(resolve).rsplit("/", 1)
            body = self.files[name]
            etag = hashlib.sha256(body).hexdigest()
            return self.send(body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMITS.get(commit, commit)}, with_body)
        self.send_error(404)

    def tree(self):
        return [{"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in self.files.items()]

    def send(self, body, headers, with_body):
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(ROOT / ".build/release/ablate"))
    binary = parser.parse_args().binary
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=home,
                          HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1")
        from huggingface_hub import snapshot_download

        for revision in COMMITS:
            snapshot_download(REPOSITORY, revision=revision)

        def inspect(name):
            command = [binary, "model", "inspect", name, "--json"]
            return subprocess.run(command, capture_output=True, text=True, cwd=home, check=False)

        digests = set()
        for suffix, commit in [("", COMMITS["main"]), *(("@" + name, commit) for name, commit in COMMITS.items()),
                               ("@" + "b2" * 20, "b2" * 20)]:
            run = inspect(REPOSITORY + suffix)
            assert run.returncode == 0, (suffix, run.stderr)
            facts = json.loads(run.stdout)
            assert (facts["repository"], facts["commit"]) == (REPOSITORY, commit), (suffix, facts["folder"])
            digests.add(facts["digest"])
            print(f"{REPOSITORY + suffix}: commit {commit[:8]}, folder {facts['folder'].removeprefix(home)}")
        assert len(digests) == 1
        for suffix in ("@v2", "@b2b2b2b2"):
            run = inspect(REPOSITORY + suffix)
            assert run.returncode == 66 and "main, refs/pr/1, v1" in run.stderr, run.stderr
            print(run.stderr.strip().replace(home, ""))
    server.shutdown()


if __name__ == "__main__":
    main()
