"""The command line, on a small lab that another package offers."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import xarray as xr

from stabviz.cli import main
from stabviz.store import Store

LAB = {
    "__init__.py": '''
        from stabviz.lab import Lab, Paper, Preset

        lab = Lab(
            __package__, title="Toy", wing="chaos", tagline="A map to try the command line on.",
            paper=Paper("On toys", "Ada Adams, Ben Bell and Cy Cole", 2001, "Journal of Toys", "https://example.org"),
            presets={
                "gentle": Preset("Gentle", controls={"rate": 0.25}, steps=40, seed=7, doc="halves and halves again"),
                "hit": Preset("Hit", interventions=[(10, "kick", {"name": "push", "sigma": 0.5})]),
                "other": Preset("Other", system="second"),
            },
        )
    ''',
    "system.py": '''
        import jax
        import jax.numpy as jnp
        import numpy as np
        from stabviz.system import Observable, Schedule, System, control, kick


        class Toy(System):
            """x' = rate x."""

            rate: float = control(0.5, bounds=(1e-3, 2.0), scale="log", symbol="\\\\lambda_1", unit="1/step", doc="factor, 100 % of it.")
            shift: float = control(0.0, bounds=(-1.0, 1.0), doc="added in each step")
            cap: float = control(np.inf, bounds=(1.0, 10.0), also={np.inf: "off"}, doc="largest value")
            size: int = control(3, bounds=(1, 8), doc="how many numbers")
            fast: bool = control(True, doc="skip what is slow")
            kind: str = control("plain", choices=("plain", "broken"), doc="which rule")
            observables = {"x": Observable("value", dims="i"), "total": Observable("sum")}

            def init(self, problem, key):
                return jax.random.normal(key, (self.size,))

            def step(self, problem, x, key, k):
                if self.kind == "broken":
                    raise OSError("the disk of the toy is broken")
                return jnp.minimum(self.rate * x + self.shift, self.cap)

            def observe(self, problem, x):
                return {"x": x, "total": x.sum()}

            @kick(sigma=control(0.1, bounds=(0.0, 1.0)))
            def push(self, problem, x, key, sigma):
                """Add sigma."""
                return x + sigma

            def schedule(self):
                return Schedule(steps=100, frames=20)


        class Second(Toy):
            pull: float = control(0.1, bounds=(0.0, 1.0), doc="only here")


        SYSTEMS = {"first": Toy, "second": Second}
    ''',
    "claims.py": '''
        from stabviz.lab import Claim, Verdict


        def decide(ds):
            total = abs(float(ds["total"][-1]))
            return Verdict(total < 1e-3, f"{total:.1e}", total)


        CLAIMS = [
            Claim("dies-out", "It dies out.", "0", "0.001", decide, on_run=True, source="Theorem 1"),
            Claim("needs-more", "It needs more.", "1", "0", decide),
        ]
    ''',
    "text.md": "A toy, with a $\\lambda$.",
}


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    """A folder with an installed package that offers the lab `toy`."""
    folder = tmp_path_factory.mktemp("site")
    home = folder / "toy_labs" / "toy"
    home.mkdir(parents=True)
    for name, text in LAB.items():
        (home / name).write_text(textwrap.dedent(text))
    info = folder / "toy_labs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-labs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stabviz.labs]\ntoy = toy_labs.toy:lab\n")
    return folder


@pytest.fixture
def toy(toys, monkeypatch, store_url) -> str:
    """The lab as this process finds it; returns the address of an empty store."""
    monkeypatch.syspath_prepend(toys)
    found = sys.modules["stabviz.lab"]._found
    found.cache_clear()
    yield store_url
    found.cache_clear()


def ask(capsys, *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    status = main(words)
    out, err = capsys.readouterr()
    return status, out, err


def sentence(capsys, *words: str) -> str:
    """What a command that cannot be done says: one line on stderr, nothing else, status 2."""
    status, out, err = ask(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("stabviz: ") and err.endswith("\n") and err.count("\n") == 1, err
    return err.removeprefix("stabviz: ").strip()


def process(toys: Path, *words: str, **options) -> subprocess.Popen:
    repository = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([repository, str(toys)])}
    return subprocess.Popen(
        [sys.executable, "-m", "stabviz", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


# What there is ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["labs"], ["runs", "--help"], ["serve", "--help"]])
def test_what_needs_no_simulation_loads_none(toys, words):
    code = f"import sys\nfrom stabviz.cli import main\ntry: main({words!r})\nexcept SystemExit: pass\n"
    code += "print([m for m in ('jax', 'numpy', 'panel', 'holoviews', 'xarray') if m in sys.modules], file=sys.stderr)"
    repository = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([repository, str(toys)])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"
    assert done.stdout


def test_labs_lists_slug_title_wing_and_paper(toy, capsys):
    status, out, _ = ask(capsys, "labs")
    assert status == 0
    (row,) = [line.split() for line in out.splitlines() if line.startswith("toy")]
    assert row == ["toy", "Toy", "chaos", "Adams", "et", "al.", "2001"]


def test_show_tells_all_that_is_declared(toy, capsys):
    status, out, _ = ask(capsys, "show", "toy")
    assert status == 0
    rate = next(line for line in out.splitlines() if "--rate" in line)
    assert rate.split()[:3] == ["--rate", "λ_1", "0.5"]
    assert "from 0.001 to 2" in rate and "1/step" in rate
    for text in ("or off", "gentle", "It dies out. (Theorem 1)", "A toy, with a", "Journal of Toys 2001"):
        assert text in out


def test_every_control_is_an_option_with_doc_bounds_and_default(toy, capsys):
    with pytest.raises(SystemExit):
        main(["run", "toy", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--rate X factor, 100 % of it [1/step]. A number from 0.001 to 2, logarithmic; default 0.5." in out
    assert "--cap X largest value. A number from 1 to 10, or off; default off." in out
    assert "--fast, --no-fast" in out and "One of plain, broken; default plain." in out and "push (sigma)" in out and "--pull" not in out
    for choice in (["--system", "second"], ["--preset=other"]):
        with pytest.raises(SystemExit):
            main(["run", "toy", *choice, "--help"])
        assert "--pull" in capsys.readouterr().out


# A run -----------------------------------------------------------------------------------------------------------------------


def test_a_run_prints_its_name_status_and_verdicts(toy, capsys):
    status, out, err = ask(capsys, "run", "toy", "--seed", "3")
    assert status == 0
    first, *rows = out.splitlines()
    run_id, ended = first.split("  ")
    assert ended == "finished at step 100 of 100, 21 frames"
    assert [row.split()[:2] for row in rows] == [["holds", "dies-out"], ["open", "needs-more"]]
    assert "\x1b" not in err and len(err.splitlines()) <= 12
    assert ask(capsys, "run", "toy", "--seed", "3")[1].splitlines()[0] == first + ", from the store"
    assert run_id in ask(capsys, "runs")[1]


def stored(url: str) -> xr.Dataset:
    """The only run in the store."""
    from stabviz.store import Store

    (info,) = Store(url).runs()
    return Store(url).open(info.id)


def test_options_become_the_plan(toy, capsys):
    words = "--rate=0.25 --shift -1e-1 --cap off --size 2 --no-fast --steps 1e2 --frames 5 --seed 9"
    assert ask(capsys, "run", "toy", *words.split())[0] == 0
    ds = stored(toy)
    controls = json.loads(ds.attrs["controls"])
    assert controls == {"rate": 0.25, "shift": -0.1, "cap": "float:inf", "size": 2, "fast": False, "kind": "plain"}
    assert (ds.attrs["seed"], ds.attrs["steps"], ds.sizes["step"], ds.sizes["i"]) == (9, 100, 6, 2)


def test_a_preset_is_the_start_and_options_go_on_top(toy, capsys):
    assert ask(capsys, "run", "toy", "--preset", "gentle", "--size", "1")[0] == 0
    ds = stored(toy)
    controls = json.loads(ds.attrs["controls"])
    assert (controls["rate"], controls["size"], ds.attrs["seed"], ds.attrs["steps"]) == (0.25, 1, 7, 40)


def test_planned_interventions_are_part_of_the_run(toy, capsys):
    words = ["--preset", "hit", "--set", "20:rate=1", "--set", "50:shift=-0.5", "--kick", "30:push:sigma=0.25", "--kick", "60"]
    assert ask(capsys, "run", "toy", *words)[0] == 0
    ds = stored(toy)
    planned = json.loads(ds.attrs["plan"])["interventions"]
    assert [(step, kind) for step, kind, _ in planned] == [(10, "kick"), (20, "set"), (30, "kick"), (50, "set"), (60, "kick")]
    assert planned[2][2] == {"name": "push", "sigma": 0.25}
    assert planned[4][2]["name"] == "kick"
    assert ds["control_rate"].values[[0, -1]].tolist() == [0.5, 1.0]


def test_a_run_that_diverges_is_a_result(toy, capsys):
    status, out, _ = ask(capsys, "run", "toy", "--rate", "2", "--steps", "1000")
    assert status == 0
    assert "diverged at step" in out.splitlines()[0]


def test_a_run_that_fails_says_why_in_one_sentence(toy, capsys):
    status, out, err = ask(capsys, "run", "toy", "--kind", "broken")
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert "failed: the simulation raised OSError: the disk of the toy is broken" in last
    assert "Traceback" not in err


@pytest.fixture
def heard():
    """Ctrl-C reaches what this test starts, also where the tests run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_pauses_and_the_run_can_be_resumed(toy, toys, heard):
    from stabviz.store import Store

    steps = 2_000_000_000  # minutes
    with process(toys, "run", "toy", "--steps", str(steps), "--rate", "1", "--size", "1") as going:
        for line in going.stderr:
            if int(line.split()[1]) >= steps // 200:  # the first frame after the start
                break
        going.send_signal(signal.SIGINT)
        out, err = going.communicate(timeout=60)
    assert (going.returncode, out) == (130, ""), err
    last = err.splitlines()[-1]
    assert last.startswith("Paused at step ") and f" of {steps}. Go on with: stabviz run --resume " in last
    run_id = last.split()[-1]
    before = Store(toy).open(run_id)
    assert before.attrs["status"] == "running"
    assert 2 <= before.sizes["step"] <= 60

    with process(toys, "run", "--resume", run_id[:8]) as again:
        at = next(step for line in again.stderr if (step := int(line.split()[1])))
        again.send_signal(signal.SIGINT)
        assert again.communicate(timeout=60)[1].count("Paused at step") == 1
    assert int(before["step"][-1]) <= at < steps


# The store -------------------------------------------------------------------------------------------------------------------


def test_runs_export_and_delete(toy, capsys, tmp_path):
    assert ask(capsys, "runs")[:2] == (0, f"No runs in {toy} yet.\n")
    ask(capsys, "run", "toy", "--steps", "20")
    (row,) = json.loads(ask(capsys, "runs", "--json")[1])
    assert (row["lab"], row["system"], row["status"], row["steps"], row["frames"]) == ("toy", "first", "finished", 20, 21)
    assert ask(capsys, "export", row["id"][:6], str(tmp_path / "run.nc")) == (0, "", "")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as ds:
        assert ds.sizes["step"] == 21
    assert ask(capsys, "export", row["id"][:6], str(tmp_path / "run.zarr.zip")) == (0, "", "")
    assert ask(capsys, "delete", row["id"], "--now") == (0, f"deleted {row['id']}\n", "")
    assert json.loads(ask(capsys, "runs", "--json")[1]) == []


def test_a_deleted_run_is_brought_back(toy, capsys):
    ask(capsys, "run", "toy", "--steps", "20")
    (row,) = json.loads(ask(capsys, "runs", "--json")[1])
    assert ask(capsys, "undelete") == (0, f"No deleted runs in {toy}.\n", "")
    code, out, err = ask(capsys, "delete", row["id"][:6])
    assert (code, out) == (0, f"deleted {row['id']}\n") and "undelete" in err
    assert json.loads(ask(capsys, "runs", "--json")[1]) == []
    assert ask(capsys, "undelete")[1].startswith(row["id"])
    assert ask(capsys, "undelete", row["id"][:6])[:2] == (0, f"brought back {row['id']}\n")
    assert json.loads(ask(capsys, "runs", "--json")[1]) == [row]
    ask(capsys, "delete", row["id"])
    assert ask(capsys, "delete", "--undo", row["id"])[:2] == (0, f"brought back {row['id']}\n")
    assert ask(capsys, "undelete", row["id"])[0] == 2


@pytest.fixture
def four(toy, capsys):
    """A store with four runs; their names."""
    for words in (["--steps", "20"], ["--steps", "20", "--rate", "0.25"], ["--steps", "30", "--rate", "0.75", "--no-fast"],
                  ["--preset", "hit", "--steps", "20", "--seed", "3"]):  # fmt: skip
        assert ask(capsys, "run", "toy", *words)[0] == 0
    return [row["id"] for row in json.loads(ask(capsys, "runs", "--json", "--reverse")[1])]


def test_runs_are_listed_with_what_differs(four, capsys):
    def listed(*words):
        return [row["id"] for row in json.loads(ask(capsys, "runs", "--json", *words)[1])]

    first = json.loads(ask(capsys, "runs", "--json", "--reverse")[1])
    assert [(r["preset"], r["changes"]) for r in first] == [
        ("", {"steps": "20"}), ("", {"rate": "0.25", "steps": "20"}), ("", {"rate": "0.75", "fast": "false", "steps": "30"}),
        ("hit", {"steps": "20", "seed": "3"}),
    ]  # fmt: skip
    assert listed("--where", "rate=0.25") == [four[1]]
    assert set(listed("--where", "rate>0.3", "--where", "steps<30")) == {four[0], four[3]}
    assert listed("--where", "fast=false") == [four[2]]
    assert listed("--sort", "steps", "--reverse", "--limit", "1") == [four[2]]
    assert listed("--status", "finished", "--lab", "toy", "--where", "kind=broken") == []
    table = ask(capsys, "runs", "--reverse", "--limit", "2")[1].splitlines()
    assert table[2].endswith("rate 0.25, steps 20") and table[3] == "2 of 4 runs; --limit shows more."
    for words, says in ((["--where", "rate"], "NAME=VALUE"), (["--sort", "colour"], "no column"), (["--status", "finish"], "did you mean")):
        code, _, err = ask(capsys, "runs", *words)
        assert code == 2 and says in err


def test_compare_tells_only_what_differs(four, capsys, tmp_path):
    code, out, _ = ask(capsys, "compare", four[0], four[2])
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == ["rate", "fast", "steps", "ended"]
    small = "total<1e-3" if float(Store(os.environ["STABVIZ_STORE"]).open(four[0])["total"][0]) > 0 else "total>-1e-3"
    code, out, _ = ask(capsys, "compare", *four[:3], "--align", "event", "--event", small, "-o", str(tmp_path / "runs.nc"))
    assert code == 0 and f"step of {small}" in out
    with xr.open_dataset(tmp_path / "runs.nc", engine="h5netcdf") as ds:
        assert ds.sizes["run"] == 3 and 0 in ds["step"] and set(ds.data_vars) >= {"total", "x"}
    code, out, _ = ask(capsys, "compare", *four[:2], "--align", "event", "--event", small, "-o", str(tmp_path / "runs.html"))
    assert code == 0 and "aligned by an event" in (tmp_path / "runs.html").read_text()
    for words, says in (
        ([four[0]], "two runs or more"), ([*four[:2], "--align", "event"], "--event"),
        ([*four[:2], "--align", "time"], "no time of its own"),
        ([*four[:2], "--align", "event", "--event", "touched"], "was not touched"), ([*four[:2], "--align", "phase"], "no way to align"),
    ):  # fmt: skip
        code, _, err = ask(capsys, "compare", *words)
        assert code == 2 and says in err


def test_a_run_is_continued_and_forked(four, capsys):
    code, out, _ = ask(capsys, "continue", four[0], "--steps", "10")
    assert code == 0 and "finished at step 30 of 30" in out
    code, out, _ = ask(capsys, "fork", four[0], "--rate", "0.9", "--steps", "7")
    assert code == 0 and "finished at step 7 of 7" in out
    newest = json.loads(ask(capsys, "runs", "--json")[1])[0]
    assert (newest["controls"]["rate"], newest["changes"]["start"]) == (0.9, four[0])
    assert ask(capsys, "fork", four[0], "--speed", "1")[0] == 2
    assert ask(capsys, "fork", "0123456789abcdef")[0] == 2


def test_store_names_another_place(toy, capsys, tmp_path):
    other = str(tmp_path / "other store")
    ask(capsys, "run", "toy", "--steps", "20", "--store", other)
    assert len(json.loads(ask(capsys, "runs", "--json", "--store", other)[1])) == 1
    assert json.loads(ask(capsys, "runs", "--json")[1]) == []


def test_a_store_that_cannot_be_written_is_said_and_the_result_still_shown(toy, capsys, tmp_path):
    (tmp_path / "file").touch()
    status, out, err = ask(capsys, "run", "toy", "--steps", "20", "--store", str(tmp_path / "file" / "store"))
    assert status == 1
    assert "finished at step 20 of 20" in out
    assert err.splitlines()[-1].endswith("this run is kept in memory only.") and "Traceback" not in err


# What cannot be --------------------------------------------------------------------------------------------------------------


def test_an_instrument_is_a_system_with_a_word_in_front(toy, capsys):
    status, out, _ = ask(capsys, "run", "toy", "--system", "twin:first", "--twin-size", "0.01", "--steps", "20", "--store", toy)
    assert status == 0
    info = Store(toy).runs()[0]
    assert Store(toy).open(info.id)["separation"].values[0] > 0 and info.id in out
    assert "did you mean twin" in sentence(capsys, "run", "toy", "--system", "twn:first")
    assert "toy has no system" in sentence(capsys, "run", "toy", "--system", "twin:frst").lower()


def test_a_sweep_is_stored_and_grows(toy, capsys):
    words = ("sweep", "toy", "--axis", "rate=0.2:0.8:3", "--axis", "seed=0,1", "--steps", "20", "--frames", "2", "--store", toy)
    status, out, err = ask(capsys, *words)
    assert status == 0 and "6 finished" in out and "6 points of toy, first" in err
    ds = Store(toy).open(out.split()[0])
    assert ds.sizes["case"] == 6 and ds.attrs["status"] == "finished"
    status, again, _ = ask(capsys, *words)
    assert status == 0 and again == out
    more = ask(capsys, *words[:3], "rate=0.2,0.5,0.8,0.9", *words[4:])[1]
    assert "8 finished" in more and Store(toy).info(more.split()[0]).attrs["copied"] == 6


def test_a_lab_that_cannot_be_loaded_is_left_out_and_told(toys, capsys, monkeypatch, caplog):
    monkeypatch.syspath_prepend(toys)
    monkeypatch.setitem(sys.modules, "toy_labs.toy", None)
    found = sys.modules["stabviz.lab"]._found
    found.cache_clear()
    assert ask(capsys, "labs")[0] == 0
    found.cache_clear()
    assert "toy_labs.toy" in caplog.text and "left out" in caplog.text


def test_a_lab_whose_package_is_absent_says_so_and_the_others_work(toy, capsys, monkeypatch):
    found = sys.modules["stabviz.lab"].lab("toy")
    monkeypatch.setattr(found, "requires", {"no_such_module": "no-such"})
    monkeypatch.delitem(vars(found), "systems", raising=False)
    assert sentence(capsys, "run", "toy") == "Toy needs no-such, not installed here: pip install no-such."
    assert ask(capsys, "labs")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "following arguments are required: COMMAND"),
        ("rnu", "invalid choice"),
        ("run", "Say which lab to run"),
        ("run toy --resume 0123456789abcdef", "Say which lab to run"),
        ("run tpy", "did you mean toy?"),
        ("show tpy", "did you mean toy?"),
        ("run toy --preset gentel", "did you mean gentle?"),
        ("run toy --system frist", "did you mean first?"),
        ("run toy --rat 0.1", "There is no option '--rat'; did you mean --rate?"),
        ("labs toy", "labs takes no 'toy'"),
        ("run toy toy", "run takes no 'toy'"),
        ("run toy --rate 3", "rate cannot be 3.0: it takes a number from 0.001 to 2"),
        ("run toy --rate much", "rate cannot be 'much'"),
        ("run toy --rate nan", "rate cannot be nan"),
        ("run toy --size 2.5", "size cannot be 2.5"),
        ("run toy --kind odd", "it takes one of plain, broken"),
        ("run toy --rate", "expected one argument"),
        ("run toy --seed one", "seed cannot be 'one': it takes a whole number"),
        ("run toy --seed -1", "seed cannot be -1"),
        ("run toy --steps 1.5", "steps cannot be '1.5': it takes a whole number"),
        ("run toy --steps -5", "steps cannot be -5"),
        ("run toy --frames 0", "frames cannot be 0"),
        ("run toy --set 5", "it takes STEP:NAME=VALUE"),
        ("run toy --set 5:rat=1", "did you mean rate"),
        ("run toy --set 5:rate=9", "rate cannot be 9"),
        ("run toy --set 5:size=2", "size acts at reset only"),
        ("run toy --set 500:rate=1", "comes after the last step, 100"),
        ("run toy --kick soon", "step of --kick cannot be 'soon'"),
        ("serve no_such.py", "There is no file 'no_such.py' to serve"),
        ("sweep toy", "Say at least one axis"),
        ("sweep toy --axis rat=1,2", "did you mean rate"),
        ("sweep toy --axis rate", "NAME=LOW:HIGH:COUNT"),
        ("sweep toy --axis rate=0:1:3:log", "with both above zero"),
        ("sweep toy --axis rate=0.1:9:3", "rate cannot be 4.55: it takes"),
        ("sweep toy --axis seed=0:100000:99999 --axis rate=0.1,0.2", "100,000 is the most"),
        ("sweep toy --axis rate=0.1 --with rat=1", "did you mean rate"),
        pytest.param(
            "sweep toy --axis rate=0.1 --scheduler tcp://127.0.0.1:9", "There is no Dask scheduler at", marks=pytest.mark.soak
        ),  # waits for ten seconds
        ("run toy --more 5", "STEPS:FRAMES:SPACING"),
        ("run toy --more 5:2:cubic", "linear, log"),
        ("run toy --kick 5:psh", "did you mean push"),
        ("run toy --kick 5:push:sgma=1", "did you mean sigma?"),
        ("run toy --kick 5:push:sigma=7", "sigma cannot be 7"),
        ("run --resume 0123456789abcdef", "There is no run 0123456789abcdef in"),
        ("run --resume ../../etc", "is not the name of a run"),
        ("export 0123456789abcdef run.nc", "There is no run 0123456789abcdef in"),
        ("delete nothing", "'nothing' is not the name of a run"),
        ("serve --port many", "port cannot be 'many'"),
        ("serve --port 70000", "port cannot be 70000"),
    ],
)
def test_what_cannot_be_is_one_sentence(toy, capsys, words, says):
    assert says in sentence(capsys, *words.split())


def test_text_that_would_steer_a_terminal_is_shown_harmless(toy, capsys):
    for hostile in ("\x1b[2J\x1b]0;owned\x07", "two\nlines", "\udcff", "\u202eexe"):
        for words in (["show"], ["run", "toy", "--kind"], ["run", "toy", "--seed"], ["delete"], []):
            assert sentence(capsys, *words, hostile).isprintable()


def test_a_reader_that_closes_early_is_no_error(toys):
    with process(toys, "show", "toy") as reading:
        reading.stdout.close()
        assert reading.stderr.read() == ""
        assert reading.wait(60) == 0


# The pages -------------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the server's own, which it could not bind
def test_a_port_that_is_taken_is_one_sentence(toy, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1, port {port}" in sentence(capsys, "serve", "--port", str(port))
    gc.collect()


def test_serve_shows_the_labs(page, url, quiet):
    page.goto(url)
    page.wait_for_function("() => window.Bokeh?.documents.length && Bokeh.documents[0].is_idle")
    assert page.title() == "stabviz: is it stable?"
