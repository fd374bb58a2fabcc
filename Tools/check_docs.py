#!/usr/bin/env python3
"""Runs what the documentation prints: every `sh` block of the Markdown files, and compares with the `text` block behind it.

    Tools/check_docs.py [FILE.md ...]        all of README.md and docs/*.md by default; needs `make demo` done once, and a C compiler

A file's blocks share one shell and a folder of their own in which the repository's entries are links. A block behind the comment
`<!-- file: PATH -->` is written to PATH first; one behind `<!-- not run -->` is left out. A `text` block is an excerpt: its lines must be printed
in their order, and `...` in a line stands for anything (times, sizes, last digits). Exit status 1 names each line that was not printed.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\s*$")
MARK = re.compile(r"^<!-- (?:file: (?P<file>\S+)|(?P<skip>not run)) -->$")
END = "=== end of block ==="


def blocks(text):
    """(line number, language, content, mark) of each fenced block; the mark is the comment on the line before."""
    lines, mark, start = text.splitlines(), None, None
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line)
        if start is None and fence:
            start, language = number, fence[1]
        elif start is not None and line == "```":
            yield start, language, "\n".join(lines[start:number - 1]), mark
            start = mark = None
        elif start is None and line:
            mark = MARK.match(line) or (mark if line.startswith("`") else None)


class Shell:
    """One bash for all blocks of a file: functions and variables carry over, as for a reader."""

    def __init__(self, folder):
        environment = os.environ | {"NO_COLOR": "1", "PS1": ""}
        self.process = subprocess.Popen(["bash"], cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def run(self, commands):
        self.process.stdin.write(f"{commands}\necho '{END}'\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n").endswith(END):
                return "".join(lines) + line.rstrip("\n").removesuffix(END)
            lines.append(line)
        return "".join(lines) + "(the shell has ended)"


def missing_line(expected, printed):
    """The first line of `expected` that `printed` lacks behind the lines before it; None if it has them all, in order."""
    rest = iter([line.rstrip() for line in printed.splitlines()])
    for line in expected.splitlines():
        pattern = re.compile(re.escape(line.rstrip()).replace(re.escape("..."), ".*"))
        if line.strip() not in ("", "...") and not any(pattern.fullmatch(candidate) for candidate in rest):
            return line
    return None


def check(path, folder):
    """Runs the blocks of one file in `folder`; returns what differs, in words."""
    shell, differences, printed = Shell(folder), [], None
    for line, language, content, mark in blocks(path.read_text()):
        if mark and mark["file"]:
            target = folder / mark["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content + "\n")
        elif mark and mark["skip"]:
            printed = None
        elif language == "sh":
            printed = shell.run(content)
        elif language == "text" and printed is not None and (lacking := missing_line(content, printed)):
            differences.append(f"{path.relative_to(ROOT)}:{line}: not printed: {lacking}\n--- printed was\n{printed}")
    shell.process.stdin.close()
    shell.process.wait()
    return differences


def main():
    paths = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    differences = []
    for path in paths:
        with tempfile.TemporaryDirectory() as name:
            for entry in ROOT.iterdir():
                (Path(name) / entry.name).symlink_to(entry)
            found = check(path, Path(name))
        print(f"{path.relative_to(ROOT)}: {f'{len(found)} differ' if found else 'as printed'}", flush=True)
        differences += found
    print("\n\n".join(differences))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
