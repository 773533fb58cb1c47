#!/usr/bin/env python3
"""Can the simulator find bugs? Each fault of mutants.txt is planted into a copy of the core, and the
simulator has to stumble over it. A fault that cannot be planted any more is an error too.

    tests/sim/mutants.py SEEDS [NAME...]     after `make build/sim`
"""

import os
import re
import shlex
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = "build/mutants"
WRAP = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free"
TIMEOUT = 300


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def parse(text):
    """The faults: (name, what it breaks, [(file, function, old, new)])."""
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        mark, rest = line[:2], line[2:].strip()
        if mark == "##":
            name, what = rest.split(": ", 1)
            faults.append((name, what, []))
        elif mark == "@ ":
            file, _, function = rest.partition(" ")
        elif mark == "- ":
            faults[-1][2].append([file, function, rest, ""])
        elif line[:1] == "+":
            faults[-1][2][-1][3] = rest
        elif line.strip() and mark != "# ":
            sys.exit(f"mutants.txt:{number}: what is this? {line}")
    return faults


def find(source, function):
    """Where a function's definition begins and ends."""
    if not function:
        return 0, len(source)
    match = re.search(rf"^\w[^;\n]*\b{function}\([^;{{}}]*\)\n{{$", source, re.M)
    if not match:
        raise LookupError(f"there is no function {function}")
    return match.start(), source.index("\n}\n", match.end())


def plant(changes):
    """Write the changed files; their names."""
    changed = {}
    for file, function, old, new in changes:
        source = changed.get(file) or read(f"src/core/{file}")
        first, last = find(source, function)
        count = source.count(old, first, last)
        if count != 1:
            raise LookupError(f"{file} has {count} times: {old}")
        at = source.index(old, first)
        changed[file] = source[:at] + new + source[at + len(old) :]
    for file, source in changed.items():
        write(f"{OUT}/src/core/{file}", source)
    return list(changed)


def compile_all(files):
    flags = f"-std=c11 -O1 -w -I{OUT}/src -Ibuild/gen -isystem build/deps/bearssl/inc -isystem build/deps/cjson"
    jobs = [
        subprocess.Popen(
            ["cc", *shlex.split(flags), "-c", f"{OUT}/src/core/{f}", "-o", f"{OUT}/{f[:-2]}.o"]
        )
        for f in files
    ]
    if any(job.wait() for job in jobs):
        sys.exit("mutants: a fault does not compile")


def run(seeds):
    """What the simulator says of it, or None when it finds nothing."""
    objects = [f"{OUT}/{f}" for f in sorted(os.listdir(OUT)) if f.endswith(".o")]
    command = ["cc", *objects, "build/native/libparthaul.a", WRAP, "-o", f"{OUT}/sim"]
    subprocess.run(command, check=True)
    try:
        done = subprocess.run(
            [f"{OUT}/sim", "--quiet", seeds],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("seed ")]
    return lines[0] if lines else f"ends with {done.returncode}"


def main():
    seeds, only = sys.argv[1], sys.argv[2:]
    faults = [f for f in parse(read(f"{HERE}/mutants.txt")) if not only or f[0] in only]
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree("src", f"{OUT}/src")
    core = sorted(f for f in os.listdir("src/core") if f.endswith(".c"))
    compile_all(core)
    for file in sorted(os.listdir(HERE)):
        if file.endswith(".c"):
            subprocess.run(
                ["cc", "-std=c11", "-O1", "-w", "-Isrc", "-c", f"{HERE}/{file}", "-o"]
                + [f"{OUT}/sim_{file[:-2]}.o"],
                check=True,
            )
    failed = 0
    found = run(seeds)
    if found:
        sys.exit(f"mutants: without a fault, {found}")
    for name, what, changes in faults:
        try:
            files = plant(changes)
        except LookupError as error:
            print(f"FAILED {name}: {error}")
            failed += 1
            continue
        again = [f for f in files if f.endswith(".c")]
        compile_all(core if len(again) < len(files) else again)
        found = run(seeds)
        failed += found is None
        print(f"{'ok' if found else 'FAILED'} {name} ({what}): {found or 'not found'}", flush=True)
        for file in files:
            shutil.copy(f"src/core/{file}", f"{OUT}/src/core/{file}")
        compile_all(core if len(again) < len(files) else again)
    print(f"{len(faults) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
