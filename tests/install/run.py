"""What `make install` leaves behind: programs, a unit that systemd understands, a configuration that
the program takes. Run it by tests/install/run. Not proven: that a real systemd starts it."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from kit import ROOT, check, equal, finish, scratch  # noqa: E402

MOST_EXPOSURE = 15  # of systemd's 0 (nothing can go wrong) to 100, as `systemd-analyze security` says


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, **more)
    return done.returncode, done.stdout + done.stderr


def install(**variables):
    code, said = run("make", "--no-print-directory", "install",
                     *[f"{name}={value}" for name, value in variables.items()])
    check("make install", code == 0, said[-1000:])


def mode(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_packaged(folder):
    """By DESTDIR: everything there, and nothing says so."""
    there = pathlib.Path(folder) / "package"
    install(DESTDIR=there, PREFIX="/usr")
    for path, wanted in {
            "usr/bin/parthaul-api": "0o755", "usr/lib/systemd/system/parthaul-api.service": "0o644",
            "usr/share/doc/parthaul/parthaul-api.conf": "0o644",
            "usr/share/doc/parthaul/parthaul-api.md": "0o644",
            "etc/parthaul/parthaul-api.conf": "0o600", "etc/parthaul/secrets": "0o700"}.items():
        if check(f"{path} is there", (there / path).exists()):
            equal(f"mode of {path}", mode(there / path), wanted)
    unit = (there / "usr/lib/systemd/system/parthaul-api.service").read_text()
    check("the unit's paths are those of later", str(folder) not in unit and "@/" not in unit and
          "ExecStart=/usr/bin/parthaul-api " in unit and ":/etc/parthaul/secrets\n" in unit, unit)
    check("nothing is left to fill in", not re.search(r"@[A-Z]+@", unit))
    config = there / "etc/parthaul/parthaul-api.conf"
    config.write_text("mine\n")
    install(DESTDIR=there, PREFIX="/usr")
    equal("a second install keeps the operator's settings", config.read_text(), "mine\n")


def test_config(program, config):
    code, said = run(program, "--config", config, "--check", env={"PATH": os.environ["PATH"]})
    equal("--check of the example", (code, said), (0, "parthaul-api: the configuration is complete\n"))
    _, known = run(program, "--help")
    known = set(re.findall(r"^  ([A-Z][A-Z0-9_]+)", known, re.MULTILINE))
    named = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", config.read_text(), re.MULTILINE)
    equal("the example names every setting once", sorted(named), sorted(known))
    # A default that is shown has to be the default.
    shown = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", config.read_text(), re.MULTILINE))
    _, said = run(program, "--help")
    for name, default in re.findall(r"^  ([A-Z][A-Z0-9_]+) .* \(([^()]*)\)$", said, re.MULTILINE):
        if default not in ("required", "PEM file", "RFC 7662") and name in shown:
            equal(f"the default of {name}", shown[name], default)


def test_unit(unit):
    if not shutil.which("systemd-analyze"):
        print("SKIP: the unit: no systemd-analyze here")
        return
    code, said = run("systemd-analyze", "verify", "--man=no", str(unit))
    equal("systemd-analyze verify", (code, said), (0, ""))
    broken = unit.with_name("broken.service")
    broken.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    code, said = run("systemd-analyze", "verify", "--man=no", str(broken))
    check("it would see a wrong name", "ProtectClocks" in said, said)
    broken.unlink()
    code, said = run("systemd-analyze", "security", "--no-pager", "--offline=true",
                     f"--threshold={MOST_EXPOSURE}", str(unit))
    check("its exposure is low", code == 0, said[-200:])


def main():
    with scratch("install") as folder:
        test_packaged(folder)
        here = folder / "here"
        install(PREFIX=here / "usr", SYSCONFDIR=here / "etc")
        test_config(here / "usr/bin/parthaul-api", here / "etc/parthaul/parthaul-api.conf")
        test_unit(here / "usr/lib/systemd/system/parthaul-api.service")
    finish()


if __name__ == "__main__":
    main()
