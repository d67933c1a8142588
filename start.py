#!/usr/bin/env python3
"""Set stabviz up in this checkout, then start the app or the tests.

    python3 start.py              the app, in the browser (options go to `stabviz serve`)
    python3 start.py test         the tests                (options go to pytest)

Needs Python 3.11 or newer with its venv module, and nothing else. Everything is installed in the folder .venv beside
this file; a second start finds it there and begins at once.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "stabviz.json")
NEEDED = (3, 11)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def say(text):
    print("stabviz: " + text, file=sys.stderr)
    sys.stderr.flush()


def newer_python():
    """A Python on PATH that is new enough, or None."""
    for minor in range(20, NEEDED[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.call([found, "-c", "import venv, ensurepip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return found
    return None


def require_python():
    """Go on with a Python that can do it: this one, or a newer one on PATH; else say what is missing."""
    old = sys.version_info < NEEDED
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        bare = True
    else:
        bare = False
    if not old and not bare:
        return
    other = newer_python()
    if other and os.path.realpath(other) != os.path.realpath(sys.executable):
        sys.exit(subprocess.call([other, os.path.abspath(__file__), *sys.argv[1:]]))
    if old:
        sys.exit(f"stabviz needs Python {NEEDED[0]}.{NEEDED[1]} or newer; this is {sys.version.split()[0]} ({sys.executable}).")
    sys.exit("Python's venv module is missing: install it (Debian, Ubuntu: apt install python3-venv), then start again.")


def venv_python():
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(VENV, folder, name)


def works(command):
    try:
        return subprocess.call(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def read_stamp():
    try:
        with open(STAMP) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def write_stamp(**changes):
    stamp = dict(read_stamp(), **changes)
    with open(STAMP, "w") as file:
        json.dump(stamp, file)


def fingerprint():
    """What the installed packages depend on: the declaration, the place of the checkout, the Python."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        text = file.read()
    return hashlib.sha256(text + os.fsencode(ROOT) + sys.version.encode()).hexdigest()


def install(extra):
    """Make .venv hold the package and what it needs; quick when it does already."""
    stamp, want = read_stamp(), fingerprint()
    usable = works([venv_python(), "-m", "pip", "--version"])
    current = usable and stamp.get("fingerprint") == want
    if current and {extra, "test"} & set(stamp.get("extras", ())):  # the tests need all that the labs do
        return
    if not usable or (stamp and stamp.get("root") != ROOT):
        say("making " + VENV)
        try:
            subprocess.check_call([sys.executable, "-m", "venv", "--clear", VENV])
        except (OSError, subprocess.CalledProcessError):
            sys.exit(f"stabviz: could not make {VENV}; is the folder writable, and Python's venv module complete?")
    extras = sorted({*stamp.get("extras", ()), extra})
    names = ",".join(name for name in extras if name)
    say("installing what it needs (a few minutes the first time)")
    command = [venv_python(), "-m", "pip", "install", "-e", ROOT + (f"[{names}]" if names else "")]
    if not sys.stdout.isatty():
        command.insert(4, "-q")
    env = dict(os.environ)
    env.setdefault("PIP_RETRIES", "10")
    env.setdefault("PIP_DEFAULT_TIMEOUT", "120")
    env.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    env.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    for pause in (5, 30, None):
        if subprocess.call(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL) == 0:
            break
        if pause is None:
            sys.exit("stabviz: the packages could not be installed; the lines above say why.")
        say(f"that did not work; trying again in {pause} s")
        time.sleep(pause)
    write_stamp(fingerprint=want, root=ROOT, extras=[""] + [name for name in extras if name], browser=None)


def find_browser():
    """Path of a Chromium on this machine that starts, or None."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path and works([path, "--version"]):  # some distributions have a stub there that only prints advice
            return path
    return None


def tried(command, **options):
    """Whether a command that needs the network succeeded, in at most ten minutes."""
    try:
        return subprocess.call(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600, **options) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def provide_browser():
    """Try once to have a Chromium for the browser tests; without one they are skipped, and say so."""
    if find_browser() or read_stamp().get("browser"):
        return
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing Chromium for the browser tests (apt-get)")
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        tried(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, env=env)
        install_it = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        tried(install_it, stdout=subprocess.DEVNULL, env=env)
    if not find_browser():
        say("fetching Chromium for the browser tests (playwright)")
        if not tried([venv_python(), "-m", "playwright", "install", "chromium"]):
            say("no Chromium to be had: the browser tests will be skipped")
    write_stamp(browser="tried")


def free_port(first=5006):
    for port in range(first, first + 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return first


def start(arguments):
    install("labs")
    options = list(arguments)
    if not any(option.split("=")[0] == "--port" for option in options):
        options += ["--port", str(free_port())]
    if "--show" not in options and not os.environ.get("CI"):
        options.append("--show")
    return [venv_python(), "-m", "stabviz", "serve", *options]


def test(arguments):
    install("test")
    provide_browser()
    # Two files of tests at a time, unless the caller says how (or measures speed, which wants the machine alone).
    own = any(option.startswith(("-n", "--dist", "-p", "--benchmark", "--pdb")) or "benchmark" in option for option in arguments)
    together = [] if own else ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--benchmark-disable"]
    return [venv_python(), "-m", "pytest", *together, *arguments]


def main(arguments):
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    require_python()
    command = test(arguments[1:]) if arguments[:1] == ["test"] else start(arguments)
    try:
        status = subprocess.call(command, cwd=ROOT)
    except KeyboardInterrupt:
        return 130
    if status < 0:
        say(f"it was ended from outside, by signal {-status} (9 is often too little memory)")
        return 128 - status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
