"""Limits of a server that others reach, and what does not fit the memory: refused with a sentence, before it is done, whoever asks."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stabviz as sv
from stabviz import memory
from stabviz.app.main import limited
from stabviz.carry_out import chunks
from stabviz.cli import main
from stabviz.control import ControlError
from stabviz.instruments.moment import SpectrumAt
from stabviz.lab import Lab
from stabviz.limits import LimitError, Limits, Visitor
from stabviz.memory import TooLarge
from stabviz.own import offer, withdraw
from stabviz.plan import Plan
from stabviz.scheduler import Scheduler
from stabviz.simulation import Simulation
from stabviz.store import Store, StoreError, quota

HUGE = 2 * 10**9


class Row(sv.System):
    """x' = rate x for n numbers, made where `where` says: n numbers of the problem, of the state, ..."""

    rate: float = sv.control(0.5, bounds=(0.0, 2.0))
    n: int = sv.control(4, doc="how many")
    where: str = sv.control("state", choices=("state", "problem", "between", "inside", "given", "gathered", "seen", "once", "begin"))
    observables = {
        "mean": sv.Observable("mean"), "seen": sv.Observable("all of them", dims="i"), "all": sv.Observable("sum", dims="k", reduce="sum"),
        "end": sv.Observable("at the end", dims="j"),
    }  # fmt: skip

    def size(self, where):
        return self.n if self.where == where else 2

    def problem(self, key):
        big = jnp.ones(self.size("inside"))
        return {"a": jax.random.normal(key, (self.size("problem"),)), "c": jnp.outer(big, big).sum(0)[:2]}

    def init(self, problem, key):
        return jnp.ones(self.size("state"))

    def begin(self, problem, state):
        return {"b": jnp.ones(self.size("begin"))}

    def step(self, problem, x, key, k):
        if self.where == "between":
            big = jnp.sort(jnp.arange(self.n) * x[0])
            x = x + 0 * big[-1]
        return self.rate * x, {"all": jnp.ones(self.size("gathered")) * x[0]}

    def observe(self, problem, x):
        return {"mean": x.mean(), "seen": jnp.ones(self.size("seen")) * x[0]}

    def given(self, problem):
        return {"grid": jnp.linspace(0.0, 1.0, self.size("given"))}

    @sv.observes(at="end")
    def last(self, problem, x):
        return {"end": jnp.ones(self.size("once"))}

    def schedule(self):
        return sv.Schedule(20, 4)


def plan(seed=0, steps=20, frames=4, **controls):
    return Plan(Row(**controls), seed=seed, schedule=sv.Schedule(steps, frames))


@pytest.fixture(scope="module")
def lab():
    made = Lab("rows", title="Rows", wing="chaos", tagline="It falls.")
    made.__dict__.update(systems={"row": Row}, views=(), claims=(), experiments=(), boundaries=(), text="", thumbnail="")
    yield offer(made)
    withdraw("rows")


@pytest.fixture
def made(request):
    """Schedulers that end with the test."""
    made: list[Scheduler] = []

    def make(store=None, **limits):
        made.append(Scheduler(None if store is None else Store(store), limits=Limits(**limits), workers=1))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


# What does not fit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["state", "between", "given", "once", *(
    pytest.param(where, marks=pytest.mark.soak) for where in ("problem", "inside", "gathered", "seen", "begin")
)])  # fmt: skip
def test_a_size_that_fits_nowhere_is_a_sentence_before_any_of_it_is_made(where, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(memory, "free", lambda: 8e9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge) as caught:
        sv.simulate(Row(n=HUGE, where=where), steps=10, frames=2)
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said
    assert "lower n (now 2,000,000,000)" in said or "record fewer frames" in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 10**6  # kB on Linux


def test_what_passes_through_without_being_held_is_not_refused(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 8e6)
    x = sv.simulate(sv.Map(lambda x, p: p.r * x + 0 * jnp.ones(10**7).sum(), 0.5, r=0.5), steps=4, frames=2)
    assert float(x["x"][-1]) == 0.5**5


@pytest.mark.parametrize(
    "build",
    [
        lambda: sv.Map(lambda x, p: p.r * x, lambda key: jnp.ones(HUGE), r=0.5),
        lambda: sv.Map(lambda x, p: p.r * x, np.broadcast_to(0.5, (HUGE,)), r=0.5),
        lambda: sv.Map(lambda x, p: p.r * x + jnp.sort(jnp.arange(p.n) * x)[-1], 0.5, r=0.5, n=sv.control(HUGE)),
        lambda: sv.Flow(lambda t, x, p: -p.r * x, lambda key: jnp.ones(HUGE), r=0.5),
        lambda: sv.instruments.Twin(Row(n=HUGE)),
        lambda: sv.instruments.Lyapunov(Row(n=10**8), lyapunov_count=40),
    ],
    ids=["map", "map with an array", "map with a control", "flow", "twin", "lyapunov"],
)
def test_systems_of_ones_own_and_instruments_too(build, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 8e9)
    with pytest.raises(TooLarge, match="of memory, and 4 GB is the most here"):
        sv.simulate(build(), steps=10, frames=2)


def test_a_model_that_fits_nowhere_is_refused_before_it_is_made(monkeypatch):
    import equinox as eqx
    import optax

    monkeypatch.setattr(memory, "free", lambda: 8e9)
    with pytest.raises(TooLarge, match="this model would need about 4 TB"):
        sv.Training(lambda key: eqx.nn.MLP(10, 1, 10**6, 2, key=key), lambda m, x: 0.0, optax.sgd(0.1), np.ones((5, 10)))


def test_a_sweep_is_refused_for_all_that_it_holds(monkeypatch, made):
    monkeypatch.setattr(memory, "free", lambda: 8e9)
    rates = list(np.linspace(0.1, 1, 500))
    for system, axes, says in (
        (Row(n=10**6, where="seen"), {"rate": rates}, r"this sweep would need about 10 GB .* or record fewer frames"),
        (Row(), {"n": [4, HUGE]}, "this run would need about"),
    ):
        with pytest.raises(sv.RunError, match=says):
            made().submit_study(sv.Study(axes=axes, frames=4, steps=20), system).wait()


@pytest.mark.parametrize("where", ["state", "seen", pytest.param("problem", marks=pytest.mark.soak)])
def test_the_estimate_is_what_is_held_or_a_little_more(where):
    before = sum(x.nbytes for x in jax.live_arrays())
    simulation = Simulation(plan(frames=10, n=10**6, where=where))
    simulation.prepare()
    simulation.largest_chunk = 2
    held, rows = 0, 0
    for chunk in chunks(simulation):
        rows += sum(x.nbytes for x in chunk.rows["step"].values())
        held = max(held, sum(x.nbytes for x in jax.live_arrays()) - before + rows)
    assert held <= simulation.bytes <= 4 * held


def test_the_memory_of_a_run_is_that_of_its_server(made):
    with pytest.raises(sv.RunError, match=r"about 1\.6 MB of memory, and 1 MB is the most here: lower n \(now 100,000\)"):
        made(max_memory=1e6).submit(plan(n=100_000)).wait()
    assert made(max_memory=4e6).submit(plan(n=100_000)).wait().status == "finished"
    with memory.at_most(1e30):
        assert memory.allowed() == memory.free()


def test_the_command_line_says_it(lab, capsys, store_url):
    assert main(["run", "rows", "--n", str(HUGE)]) == 1
    assert "lower n (now 2,000,000,000)" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize("slug", sorted(sv.labs()))
def test_every_lab_is_asked_before_it_takes_memory(slug):
    found = sv.lab(slug)
    if found.missing:
        pytest.skip(found.missing)
    for name in list(found.systems)[:6]:
        specs = sv.controls(found.system_class(name))
        most = {n: int(c.bounds[1]) for n, c in specs.items() if c.static and c.kind == "int" and c.bounds}
        for turned in ({n: v} for n, v in most.items()):
            try:
                plan = found.plan(system=name, **turned)
            except ControlError:  # does not go with the others' defaults
                continue
            with memory.at_most(1e3), pytest.raises((TooLarge, sv.RunError), match="of memory"):
                simulation = Simulation(plan, dict.fromkeys(plan.needs))
                simulation.prepare()
                simulation.compile()


# Limits -------------------------------------------------------------------------------------------------------------------------


def test_what_is_too_long_or_too_much_is_refused_where_it_is_done(made):
    scheduler = made(max_steps=20, max_cases=3)
    run = scheduler.submit(plan()).wait()
    for act, says in (
        (lambda: scheduler.submit(plan(steps=21)), "21 steps, and 20 is the most here: take fewer steps"),
        (run.extend, "40 steps, and 20"),
        (run.kick, "40 steps, and 20"),
        (lambda: run.fork(steps=30), "30 steps, and 20"),
        (lambda: scheduler.submit_study(sv.Study(axes={"rate": [0.1, 0.2], "seed": [1, 2]}), Row()), "4 points, and 3 is the most here"),
        (lambda: scheduler.submit_study(sv.Study(axes={"rate": [0.1, 0.2]}, steps=30), Row()), "30 steps, and 20"),
        (lambda: scheduler.submit_study(sv.Study(axes={"seed": range(10**9)}), Row()), "1,000,000,000 points"),
    ):
        with pytest.raises(LimitError, match=says):
            act()
    assert scheduler.submit_study(sv.Study(axes={"rate": [0.1, 0.2, 0.3]}), Row()).wait().status == "finished"
    assert len(scheduler.runs()) == 2


def test_a_session_has_so_many_runs_under_way_and_makes_room_by_leaving(made):
    scheduler = made(runs_per_session=2)
    me, other = Visitor(scheduler.limits), Visitor(scheduler.limits)
    long = lambda seed: plan(seed, 10**9)  # noqa: E731
    first, second = (me.watch(scheduler.submit(long(seed), by=me)) for seed in (1, 2))
    with pytest.raises(LimitError, match="You have 2 runs under way, and 2 at once is the most here: wait for one of them, or stop it"):
        scheduler.submit(long(3), by=me)
    with pytest.raises(LimitError, match="2 runs under way"):
        scheduler.submit_study(sv.Study(axes={"rate": [0.1]}), Row(), by=me)
    assert scheduler.submit(long(1), by=me) is scheduler.get(long(1).id)  # one that goes on may be looked at
    assert not scheduler.submit(long(4), by=other, paused=True).ended
    third = me.watch(scheduler.submit(long(3), by=me, leaving=first))
    first.close()
    scheduler.get(long(2).id).cancel()
    scheduler.get(long(2).id).wait(20)
    assert me.going == 1
    for watch in (second, third):
        watch.close()
    assert me.going == 0


def test_read_only_opens_what_is_there_and_does_nothing_else(made, tmp_path):
    writing = made(tmp_path / "store")
    whole = writing.submit(plan()).wait()
    part = writing.submit(plan(steps=10**9, frames=1000))
    while part.frames < 3:
        part.wait(0.02)
    part.cancel()
    part.wait()
    swept = writing.submit_study(sv.Study(axes={"rate": [0.1, 0.2]}), Row()).wait()
    here = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "store").rglob("*"))
    scheduler = limited(tmp_path / "store", Limits(read_only=True))
    run = scheduler.submit(whole.plan).wait()
    assert (run.status, run.frames, run.replayed) == ("finished", 5, True)
    broken = scheduler.submit(part.plan).wait()
    assert (broken.status, broken.frames) == ("cancelled", part.frames) and broken.progress.step == int(part.dataset["step"][-1])
    assert scheduler.submit_study(swept.study, Row()).wait().dataset["mean"].shape == swept.dataset["mean"].shape
    for act in (
        lambda: scheduler.submit(plan(5)), run.extend, run.kick, lambda: run.fork(steps=2), lambda: SpectrumAt(run, 3),
        lambda: scheduler.submit_study(sv.Study(axes={"seed": [1, 2]}), Row()), lambda: scheduler.limits.check_deleting(),
    ):  # fmt: skip
        with pytest.raises(LimitError, match="read only: what is stored can be opened"):
            act()
    for change in (scheduler.store.delete, scheduler.store.discard, scheduler.store.restore):
        with pytest.raises(StoreError, match="read only"):
            change(whole.id)
    scheduler.close()
    assert sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "store").rglob("*")) == here


def test_a_quota_keeps_new_runs_in_memory_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(quota, "EVERY", 0.0)
    monkeypatch.setattr(quota, "SHARE", 0)
    scheduler = limited(tmp_path / "store", Limits(quota=60_000))
    kept = scheduler.submit(plan(n=1000)).wait()
    there = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert kept.notice == "" and scheduler.store.quota.used() == there
    grown = scheduler.submit(plan(n=10_000)).wait()
    assert grown.status == "finished" and "kept in memory only" in grown.notice and "quota of 6e-05 GB" in grown.notice
    (tmp_path / "store" / "filler").write_bytes(bytes(60_000))
    late = scheduler.submit(plan(2)).wait()
    assert late.status == "finished" and late.frames == 5 and "this run is kept in memory only" in late.notice
    study = scheduler.submit_study(sv.Study(axes={"rate": [0.1, 0.2]}), Row()).wait()
    assert study.status == "finished" and "kept in memory only" in study.notice
    scheduler.close()
    there = Store(tmp_path / "store")
    assert there.open(kept.id).sizes["step"] == 5 and not there.exists(late.id)
    again = Scheduler(there)
    assert again.submit(grown.plan).wait().frames == 5  # what was begun under the quota is carried on without it
    again.close()


def test_links_in_a_store_are_followed_nowhere(tmp_path, made):
    outside, store = Store(tmp_path / "outside"), Store(tmp_path / "store")
    run = made(tmp_path / "outside").submit(plan()).wait()
    (tmp_path / "store").mkdir()
    place = tmp_path / "store" / run.id
    place.symlink_to(tmp_path / "outside" / run.id)
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "outside").rglob("*"))
    acts = [store.open, store.info, store.load_checkpoint, store.delete, store.discard, lambda r: store.export(r, tmp_path / "x.nc")]
    for act in acts:
        with pytest.raises(StoreError, match="not a folder of this store, but a link"):
            act(run.id)
    again = made(tmp_path / "store").submit(plan()).wait()
    assert again.status == "finished" and "kept in memory only" in again.notice
    place.unlink()
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "store" / f"{run.id}.lock").symlink_to(tmp_path / "precious")
    assert "kept in memory only" in made(tmp_path / "store").submit(plan()).wait().notice
    (tmp_path / "store" / f"{run.id}.lock").unlink()
    (tmp_path / "outside" / run.id / "mean" / "c.0").unlink()
    (tmp_path / "outside" / run.id / "mean" / "c.0").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="is a link, which no run has"):
        outside.open(run.id)
    (tmp_path / "outside" / run.id / "zarr.json").unlink()
    (tmp_path / "outside" / run.id / "zarr.json").symlink_to("/etc/passwd")
    with pytest.raises(StoreError) as caught:
        outside.info(run.id)
    assert "root:" not in str(caught.value) and outside.runs() == []
    assert (tmp_path / "precious").read_text() == "kept"
    assert {p for p, _ in before} == set((tmp_path / "outside").rglob("*"))


# How they are said --------------------------------------------------------------------------------------------------------------


def test_limits_are_read_from_words_and_from_the_environment():
    words = {"public": True, "max_steps": "5,000", "max_memory": "1.5 GB", "quota": "2GiB", "read_only": ""}
    read = Limits.read({**words, "hosts": ["Example.org", "a.b:80"]})
    assert (read.max_steps, read.max_memory, read.quota, read.max_cases, read.deleting) == (5000, 1.5e9, 2.0**31, 1000, False)
    assert read.hosts == ("example.org", "a.b:80") and not read.read_only
    assert Limits.from_environment({}) == Limits.read({}) == Limits()
    said = {"STABVIZ_PUBLIC": "1", "STABVIZ_READ_ONLY": "yes", "STABVIZ_HOSTS": "a.org, b.org", "STABVIZ_MAX_CASES": "7"}
    assert Limits.from_environment(said) == Limits.public(read_only=True, hosts=("a.org", "b.org"), max_cases=7)


@pytest.mark.parametrize(
    ("name", "text"),
    [("max_steps", "-3"), ("max_steps", "1e3"), ("max_steps", "0"), ("max_steps", "9" * 400), ("max_memory", "much"), ("max_memory", "0GB"),
     ("quota", "3 PB"), ("quota", "nan"), ("read_only", "perhaps"), ("hosts", "a/b"), ("hosts", "a b:x"), ("max_cases", "½")],
)  # fmt: skip
def test_what_cannot_be_a_limit_is_a_sentence(name, text, capsys):
    with pytest.raises(ControlError, match=name):
        Limits.read({name: text})
    with pytest.raises(ControlError):
        Limits(max_steps=math.nan)
    option = {"hosts": "--allow-host"}.get(name, "--" + name.replace("_", "-"))
    if name != "read_only":
        assert main(["serve", f"{option}={text}"]) == 2
        assert "cannot" in capsys.readouterr().err


def test_names_by_which_a_server_is_reached():
    limits = Limits(hosts=("example.org", "other.org:8000"))
    good = ("example.org", "EXAMPLE.org:5006", "other.org:8000", "localhost:5006", "127.0.0.1", "[::1]:5006")
    bad = ("evil.com", "other.org", "example.org.evil.com", "", "example.org@evil.com", "[", "evil.com:80#example.org", "127.0.0.1.evil")
    assert [h for h in good if not limits.knows(h)] == [] and [h for h in bad if limits.knows(h)] == []
    assert Limits().knows("whatever")


def test_a_container_has_less(tmp_path, monkeypatch):
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300\n")
    for text, left in (("1000\n", 400.0), ("max\n", None)):
        (tmp_path / "memory.max").write_text(text)
        assert memory._container(str(tmp_path)) == left
    assert memory._container(str(tmp_path / "none")) is None
    assert memory.spelled(1.5e9) == "1.5 GB" and memory.spelled(4e18) == "4e+06 TB"
