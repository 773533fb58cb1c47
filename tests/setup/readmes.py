#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every file is named in the nearest README.md, or its folder has a row in a table there. `make lint` runs it."""

import fnmatch
import os
import re
import subprocess
import sys

git = subprocess.run(['git', 'ls-files', '-z'], stdout=subprocess.PIPE, text=True, check=False)
if git.returncode:
    sys.exit(print('readmes: skipped, since git does not say here which files are ours'))
tracked = git.stdout.rstrip('\0').split('\0')
words, rows = {}, {}  # of each folder with a README: what it has in backticks, anywhere and in tables
for path in tracked:
    folder, name = os.path.split(path)
    if name == 'README.md':
        text = open(path, encoding='utf-8').read()
        words[folder] = re.findall(r'`([^`\s]+)`', text)
        rows[folder] = re.findall(r'`([^`\s]+)`', '\n'.join(re.findall(r'^\|.*', text, re.M)))


def is_named(path):
    """A module of C by its stem or its C file, too."""
    folder, name = os.path.split(path)
    names = {name}
    if name.endswith(('.c', '.h')):
        names |= {name[:-2], name[:-1] + 'c'}
    above = ''
    while folder not in words:
        folder, part = os.path.split(folder)
        above = f'{part}/{above}'
    names |= {above + name for name in names}
    parts = above.rstrip('/').split('/')
    folders = {'/'.join(parts[:n + 1]) for n in range(len(parts))}
    return (any(fnmatch.fnmatchcase(name, word) for word in words[folder] for name in names)
            or any(word.rstrip('/') in folders for word in rows[folder]))


unnamed = [path for path in tracked
           if not re.search(r'(^|/)(\.[^/]*|README\.md|package(-lock)?\.json)(/|$)', path) and not is_named(path)]
for path in unnamed:
    print(f'{path}: no README.md names it', file=sys.stderr)
sys.exit(bool(unnamed))
