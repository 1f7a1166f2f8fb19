#!/usr/bin/env python3
"""Runs test programs that one call of cargo built, some at a time.

    run.py BUILT [--package NAME | --without NAME] [--only NAME] [--ignored] [--jobs N] [--alone NAME]...

BUILT is what `cargo build --message-format=json` printed. A program runs in its
package's folder, as under `cargo test`. Those named by --alone measure, flood or
change the whole machine: they run last, one after the other. Each program's time
is told. --ignored runs those tests that are left out otherwise, for what they need; what a failed one printed is printed whole, and the others still run.
Exit status: 0 if all passed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def programs(built):
    """Package's name and folder, name of the target, and file, of each test program."""
    for line in built:
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact" or not message["profile"]["test"]:
            continue
        folder = Path(message["manifest_path"]).parent
        if message["executable"]:
            yield package(message["package_id"]), folder, message["target"]["name"], message["executable"]


def package(identity):
    """The name in `path+file:///folder#version` or `...#name@version`."""
    folder, _, tail = identity.partition("#")
    return tail.partition("@")[0] if "@" in tail else folder.rsplit("/", 1)[-1]


def run(name, folder, program, arguments):
    """Runs it; prints its time, and all that it printed if it failed."""
    began = time.monotonic()
    # No pipe: a process that a test left behind would hold it open, and this up for ever.
    with tempfile.TemporaryFile() as out:
        done = subprocess.run([program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        took = time.monotonic() - began
        out.seek(0)
        text = out.read().decode(errors="replace")
    counts = next((line for line in reversed(text.splitlines()) if line.startswith("test result:")), "no result")
    counts = "; ".join(counts.split("; ")[:3]).removeprefix("test result: ")
    told = f"{took:7.1f} s  {name}: {counts}"
    # In one piece: others print too.
    sys.stdout.write(f"{told}\n" if done.returncode == 0 else f"{text}\nFAILED {told}\n")
    sys.stdout.flush()
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("built", type=Path)
    parser.add_argument("--package")
    parser.add_argument("--without")
    parser.add_argument("--only")
    parser.add_argument("--ignored", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--alone", nargs="*", default=[])
    options = parser.parse_args()
    with options.built.open() as built:
        chosen = [
            (f"{package}/{name}", name, folder, program)
            for package, folder, name, program in programs(built)
            if options.package in (None, package) and package != options.without and options.only in (None, name)
        ]
    unknown = set(options.alone) - {name for _, name, _, _ in chosen}
    if not chosen or unknown:
        sys.exit(f"run.py: {options.built} has no {', '.join(sorted(unknown)) or 'test programs'}")
    together = [one for one in chosen if one[1] not in options.alone]
    alone = [one for one in chosen if one[1] in options.alone]
    arguments = ["--ignored"] if options.ignored else []
    failed = []
    for some, jobs in ((together, options.jobs), (alone, 1)):
        with ThreadPoolExecutor(jobs) as pool:
            passed = list(pool.map(lambda one: run(one[0], one[2], one[3], arguments), some))
        failed += [one[0] for one, ok in zip(some, passed) if not ok]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
