"""Several devices give the numbers of one: each count in a process of its own, whose host poses as so many devices."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent


def carried_out(count, folder, *what):
    """(what the script says of the devices, its arrays) with so many devices."""
    path = folder / f"{count}.npz"
    env = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu",
           "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}  # fmt: skip
    done = subprocess.run([sys.executable, HERE / "device_world.py", path, *what], env=env, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), dict(np.load(path))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return carried_out(1, tmp_path_factory.mktemp("one"))


def test_one_device_is_not_dealt_nor_shared(alone):
    said, _ = alone
    assert said == {"devices": 1, "used": [], "wide": 1, "shared": False}


def same_numbers(alone, said, arrays, count):
    assert said["devices"] == said["wide"] == len(said["used"]) == count
    assert set(arrays) == set(alone)
    for name, values in alone.items():
        if name == "cloud.mean":  # floats added up part by part: another rounding for another number of parts
            np.testing.assert_allclose(arrays[name], values, rtol=0, atol=1e-6)
        else:
            assert arrays[name].tobytes() == values.tobytes(), name


def test_three_devices_give_the_numbers_of_one(alone, tmp_path):
    same_numbers(alone[1], *carried_out(3, tmp_path), 3)


@pytest.mark.claims
def test_numbers_do_not_depend_on_how_many_devices_there_are(tmp_path):
    """With instruments too: a minute of compilations, one for each device."""
    _, alone = carried_out(1, tmp_path, "instruments")
    for count in (2, 4):
        same_numbers(alone, *carried_out(count, tmp_path, "instruments"), count)
