"""What the tests of the command line share: the program, counting, and the last line."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Built with AddressSanitizer and UBSan; `make build/tests/parthaul` leaves it there.
PROGRAM = os.environ.get("PARTHAUL", os.path.join(ROOT, "build", "tests", "parthaul"))
VECTORS = os.environ.get("PH_VECTORS", os.path.join(os.path.dirname(ROOT), "shared", "vectors"))

# Whoever started the tests in the background lets them ignore Ctrl-C, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What the program keeps of uploads, for as long as these tests run.
STATE = tempfile.mkdtemp(prefix="parthaul-state-")
atexit.register(shutil.rmtree, STATE, ignore_errors=True)

# Nothing of the machine's own settings may reach the program.
CLEAN = {name: value for name, value in os.environ.items()
         if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
CLEAN["XDG_STATE_HOME"] = STATE

passed = 0
failed = 0
lock = threading.Lock()


def run(*arguments, env=None, timeout=60, **more):
    """Run the program; returns the completed process, with bytes as output."""
    return subprocess.run([PROGRAM, *arguments], env={**CLEAN, **(env or {})}, timeout=timeout,
                          capture_output=True, check=False, **more)


def check(what, got, expected):
    """Count one comparison, and show it when it fails."""
    global passed, failed
    with lock:
        if got == expected:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {what}\n  got      {got!r}\n  expected {expected!r}", flush=True)
    return got == expected


def finish():
    """Say how it went, and end the program; a run without a single check has failed."""
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)
