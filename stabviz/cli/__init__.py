"""The command line: `stabviz labs | show | run | continue | fork | sweep | verify`, and on the store `runs | compare | report | export |
delete | undelete`; `serve` for the pages.

A control is an option by its declaration alone. What a person can get wrong is answered with one sentence on
stderr and exit status 2. jax and panel are imported by the commands that need them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .. import __version__
from ..lab import UnknownLab, lab
from . import report, run, runs, show, sweep, verify
from .texts import INTERRUPTED, OK, WRONG, Refused, near, option, printable, whole

if TYPE_CHECKING:
    from ..control import Control

RUN_OPTIONS = ("preset", "system", "seed", "steps", "frames", "spacing", "more", "set", "kick", "resume", "store", "help")


LIMITS = (
    ("public", "", "for a server that anybody reaches: a sensible limit of each kind; those named beside it count"),
    ("max-steps", "N", "most steps of a run"),
    ("max-memory", "SIZE", "most memory of a run or a sweep, such as 2GB; default half of what is free"),
    ("runs-per-session", "N", "most runs under way in a session"),
    ("max-cases", "N", "most points of a sweep"),
    ("quota", "SIZE", "most that the store may take; runs beyond it are kept in memory only"),
    ("read-only", "", "stored runs can be opened and compared; nothing is computed, written or deleted"),
)
"""Options of `serve`: what visitors may ask for (see `stabviz.limits.Limits`)."""


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing its usage, and knows no abbreviations."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message[:1].upper()}{message[1:]}; `{self.prog} --help` shows what there is.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 also for a run that diverged: that is a result)."""
    words = _normal(sys.argv[1:] if argv is None else argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters
    try:
        args, extra = _parser(words).parse_known_args(words)
        if extra:
            raise _unknown(extra[0], args.parser)
        return args.do(args)
    except (Refused, UnknownLab) as error:
        return _complain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if isinstance(error, _expected()):
            return _complain(error)
        raise


def _complain(error: Exception) -> int:
    print("stabviz: " + printable(str(error)), file=sys.stderr)
    return WRONG


def _unknown(word: str, parser: argparse.ArgumentParser) -> Refused:
    """The error for a word that a command does not know."""
    name = word.partition("=")[0]
    if not name.startswith("-"):
        return Refused(f"{parser.prog.split()[-1]} takes no {name[:60]!r}; `{parser.prog} --help` shows what there is.")
    return near("option", name, (known for known in parser._option_string_actions if known.startswith("--")))


def _expected() -> tuple[type[Exception], ...]:
    """Errors whose message is a sentence for people."""
    from ..control import ControlError
    from ..job import RunError
    from ..lab import MissingPackage
    from ..memory import TooLarge
    from ..store import StoreError

    return ControlError, MissingPackage, RunError, StoreError, TooLarge


def _normal(argv: Sequence[str]) -> list[str]:
    """One spelling of options: `--learning_rate -1e-3` becomes `--learning-rate=-1e-3` (argparse takes that value for an option)."""
    words: list[str] = []
    for word in argv:
        name, equals, value = word.partition("=")
        if re.fullmatch(r"-(\d|\.\d|inf).*", word) and words and re.fullmatch(r"--[^=]+", words[-1]):
            words[-1] += "=" + word
        elif name.startswith("--"):
            words.append(name.replace("_", "-") + equals + value)
        else:
            words.append(word)
    return words


def _parser(words: Sequence[str]) -> _Parser:
    """The parser of all commands; `run LAB` has that lab's controls as options."""
    parser = _Parser(prog="stabviz", description="A laboratory for one question: is it stable?")
    parser.add_argument("--version", action="version", version=f"stabviz {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, do: Any, help: str, **more: Any) -> _Parser:
        made = commands.add_parser(name, help=help, description=help, **more)
        made.set_defaults(do=do, parser=made)
        return made

    command("labs", show.labs, "list the labs")
    made = command("show", show.show, "a lab: text, controls, presets, claims")
    made.add_argument("lab", metavar="LAB")
    going = command(
        "run", run.run, "carry out a run and judge the lab's claims",
        usage="stabviz run LAB [options]\n       stabviz run --resume ID",
        epilog="`stabviz run LAB --help` shows the controls of that lab. Ctrl-C pauses; the run can be resumed.",
    )  # fmt: skip
    _run_options(going, words)
    longer = command("continue", run.go_on, "go on with a run: one that was broken off, or a finished one for more steps")
    forking = command(
        "fork", run.fork, "start a new run from the last state of another, with other controls",
        epilog="`stabviz fork RUN --NAME VALUE` turns that control; `stabviz show LAB` lists them.",
    )  # fmt: skip
    for made, what in ((longer, "more steps; as many as its last stretch, if left out"), (forking, "length of the new run")):
        made.add_argument("id", metavar="RUN")
        made.add_argument("--steps", metavar="N", help=what)
        made.add_argument("--frames", metavar="N", help="recorded steps of them")
    _fork_options(forking, words)
    sweeping = command(
        "sweep", sweep.sweep, "carry out a study over axes, here or on a Dask cluster",
        epilog="An axis is NAME=V1,V2,... or NAME=LOW:HIGH:COUNT[:log], of a control or seed. What the store has is not computed again.",
    )  # fmt: skip
    sweeping.add_argument("lab", metavar="LAB", help="the lab; `stabviz labs` lists them")
    several: dict[str, Any] = {"action": "append", "default": []}
    sweeping.add_argument("--axis", metavar="NAME=VALUES", help="an axis (may be repeated)", **several)
    sweeping.add_argument("--with", metavar="NAME=VALUE", dest="turn", help="a control of all points (may be repeated)", **several)
    sweeping.add_argument("--keep", metavar="NAME", help="an observable to record; all, if none is named", **several)
    sweeping.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that carries the batches out, such as tcp://host:8786")
    for word, what in (("preset", "start from a preset of the lab"), ("system", "which of the lab's systems")):
        sweeping.add_argument(f"--{word}", metavar="NAME", help=what)
    for word, what in (("seed", "of every point"), ("steps", "length of each run"), ("frames", "recorded steps of each run")):
        sweeping.add_argument(f"--{word}", metavar="N", help=what)
    checking = command("verify", verify.verify, "judge every claim anew and write the scoreboard", epilog=verify.EPILOG)
    checking.add_argument("lab", metavar="LAB", nargs="*", help="the labs; all, if none is named")
    checking.add_argument("--claim", metavar="NAME", help="only that claim (may be repeated)", **several)
    checking.add_argument("--seeds", metavar="N", default="3", help="how often each claim is judged; default 3")
    checking.add_argument("--jobs", metavar="N", default="1", help="processes that share the work; default 1, which uses all cores as well")
    checking.add_argument("--limit", metavar="SECONDS", help="a claim whose first seed took longer is judged on that one alone")
    checking.add_argument("--output", metavar="FILE", help="default data/scoreboard.json in a source tree, else a file of this user")
    listing = command("runs", runs.runs, "list the runs in the store")
    listing.add_argument("--json", action="store_true", help="as JSON, one object a run")
    listing.add_argument("--lab", metavar="LAB", help="only runs of that lab")
    listing.add_argument("--status", metavar="STATUS", help="only runs that are finished, running, broken off, diverged, ...")
    listing.add_argument("--where", metavar="NAME=VALUE", help="only runs with that control; < and > too (may be repeated)", **several)
    listing.add_argument("--sort", metavar="COLUMN", default="age", help=f"{', '.join(runs.SORTS)}; default age, the newest first")
    listing.add_argument("--reverse", action="store_true", help="in the opposite order")
    listing.add_argument("--limit", metavar="N", help="at most so many")
    comparing = command(
        "compare", runs.compare, "what differs between runs, and nothing else",
        epilog="With -o FILE.html a report of the runs beside each other, with -o FILE.nc their data over one axis.",
    )  # fmt: skip
    comparing.add_argument("id", metavar="RUN", nargs="+")
    comparing.add_argument("--align", metavar="HOW", default="step", help="step (default), time, or event")
    comparing.add_argument("--event", metavar="EVENT", help="touched, end, the name of a stop, or a level such as 'loss<0.1'")
    comparing.add_argument("-o", "--output", metavar="FILE", help="report (.html) or data (.nc) to write")
    reporting = command(
        "report", report.report, "write runs, or a sweep, as one HTML file that opens offline",
        epilog="Several runs are compared. The beginning of a name is enough, where it is of one run only; `stabviz runs` lists them.",
    )  # fmt: skip
    reporting.add_argument("id", metavar="RUN", nargs="+")
    reporting.add_argument("-o", "--output", metavar="FILE", help="file, or folder, to write to; default a file in this folder")
    reporting.add_argument("--frames", metavar="N", help="moments kept of each run; default so many that the file stays below 5 MB")
    copying = command("export", runs.export, "copy a run to a netCDF file, or a zipped Zarr where PATH ends in .zip")
    copying.add_argument("id", metavar="ID")
    copying.add_argument("path", metavar="PATH")
    deleting = command("delete", runs.delete, "delete runs from the store; for a day they can be brought back")
    deleting.add_argument("id", metavar="ID", nargs="+")
    deleting.add_argument("--now", action="store_true", help="for good, and free their space at once")
    deleting.add_argument("--undo", action="store_true", help="bring them back, as `undelete` does")
    undoing = command("undelete", runs.undelete, "bring deleted runs back, or list those that can be")
    undoing.add_argument("id", metavar="ID", nargs="*")
    serving = command("serve", _serve, "serve the pages")
    for made in (going, longer, forking, sweeping, checking, listing, comparing, reporting, copying, deleting, undoing, serving):
        made.add_argument("--store", metavar="URL", help="folder or address of the store")
    serving.add_argument("file", metavar="FILE", nargs="?", help="a Python file with a System of your own, loaded again when it is saved")
    serving.add_argument("--port", metavar="N", default="5006", help="default 5006; 0 takes a free one")
    serving.add_argument("--address", metavar="HOST", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    origin = "address at which visitors reach it, if it is another (may be repeated)"
    serving.add_argument("--origin", metavar="HOST:PORT", action="append", help=origin)
    for word, metavar, what in LIMITS:
        more: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
        serving.add_argument(f"--{word}", help=what, **more)
    host = "a name by which visitors may reach it, and no other, such as example.org (may be repeated)"
    serving.add_argument("--allow-host", metavar="HOST", action="append", help=host)
    serving.add_argument("--show", action="store_true", help="open it in the browser")
    return parser


def _run_options(parser: _Parser, words: Sequence[str]) -> None:
    """Options of `run`: those of every run, then the controls of the lab that is named."""
    parser.add_argument("lab", metavar="LAB", nargs="?", help="the lab, first of all; `stabviz labs` lists them")
    parser.add_argument("--preset", metavar="NAME", help="start from a preset of the lab")
    parser.add_argument("--system", metavar="NAME", help="which of the lab's systems (default: the first)")
    parser.add_argument("--seed", metavar="N", help="whole number; gives problem, initial state and noise")
    parser.add_argument("--steps", metavar="N", help="length of the run")
    parser.add_argument("--frames", metavar="N", help="recorded steps")
    parser.add_argument("--spacing", metavar="NAME", help="of the recorded steps: linear or log")
    several: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--set", metavar="STEP:NAME=VALUE", help="turn a control after that step (may be repeated)", **several)
    parser.add_argument("--kick", metavar="STEP[:NAME[:ARG=VALUE,...]]", help="kick the state after that step (may be repeated)", **several)
    parser.add_argument("--more", metavar="STEPS:FRAMES:SPACING", help="continue it by such a stretch (may be repeated)", **several)
    parser.add_argument("--resume", metavar="ID", help="go on with a run that was paused or broken off")
    if len(words) < 2 or words[0] != "run" or words[1].startswith("-"):
        return
    from ..system import controls, kicks

    chosen = lab(words[1])
    first = _Parser(add_help=False)
    first.add_argument("--system")
    first.add_argument("--preset")
    given, _ = first.parse_known_args(list(words[2:]))
    name, cls = run.system_of(chosen, given.system, given.preset)
    _control_options(parser.add_argument_group(f"controls of {chosen.slug}, {name}"), controls(cls))
    touches = "; ".join(f"{k.name} ({', '.join(k.controls)})" for k in kicks(cls).values())
    parser.epilog = (
        f"kicks: {touches}\npresets: {', '.join(chosen.presets) or 'none'}\nsystems: {', '.join(chosen.systems)}\n\n{parser.epilog}"
    )


def _fork_options(parser: _Parser, words: Sequence[str]) -> None:
    """Options of `fork`: the controls of the System of the run that is named."""
    if len(words) < 2 or words[0] != "fork" or words[1].startswith("-"):
        return
    from ..system import controls

    first = _Parser(add_help=False)
    first.add_argument("--store")
    found, system = run.system_of_run(words[1], first.parse_known_args(list(words[2:]))[0].store)
    _control_options(parser.add_argument_group(f"controls of {found.slug}, {system}"), controls(found.system_class(system)))


def _control_options(group: Any, specs: dict[str, Control]) -> None:
    for spec in specs.values():
        if spec.name in RUN_OPTIONS:  # `steps` is the length itself
            continue
        if spec.kind == "bool":
            group.add_argument(option(spec.name), dest="control_" + spec.name, action=argparse.BooleanOptionalAction, help=_help(spec))
        else:
            metavar = {"int": "N", "float": "X", "choice": "NAME"}[spec.kind]
            group.add_argument(option(spec.name), dest="control_" + spec.name, metavar=metavar, help=_help(spec))


def _help(spec: Control) -> str:
    """One paragraph of a control for `--help`."""
    doc = spec.doc.strip().rstrip(".") or spec.label
    unit = f" [{spec.unit}]" if spec.unit else ""
    scale = ", logarithmic" if spec.scale == "log" else ""
    allowed = spec.allowed[:1].upper() + spec.allowed[1:]
    return f"{doc}{unit}. {allowed}{scale}; default {spec.format(spec.default)}.".replace("%", "%%")


def _serve(args: argparse.Namespace) -> int:
    port = whole(args.port, "port")
    if not 0 <= port < 2**16:
        raise Refused(f"port cannot be {port}: it takes a whole number from 0 to {2**16 - 1}.")
    if args.file is not None and not os.path.isfile(args.file):
        raise Refused(f"There is no file {args.file[:100]!r} to serve.")
    from ..limits import Limits

    given = {word.replace("-", "_"): getattr(args, word.replace("-", "_")) for word, _, _ in LIMITS}
    limits = Limits.read({**given, "hosts": args.allow_host})
    from ..app import serve

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # the address is seen at once, in a log too
    origins = {"websocket_origin": args.origin} if args.origin else {}
    try:
        serve(args.file, port=port, address=args.address, show=args.show, store=args.store, **origins,
              limits=None if limits == Limits() else limits)  # fmt: skip
    except OSError as error:
        raise Refused(f"The server cannot listen at {args.address}, port {port}: {error.strerror or error}.") from None
    return OK
