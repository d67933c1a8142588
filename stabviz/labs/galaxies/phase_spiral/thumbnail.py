"""Draws `thumbnail.svg` from a real run: `python -m stabviz.labs.galaxies.phase_spiral.thumbnail`."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import numpy as np

from stabviz.carry_out import carry_out
from stabviz.colors import ramp

from . import lab

WIDTH, HEIGHT = 300, 150


def png(rgba: np.ndarray) -> bytes:
    """A picture (rows, columns, 4) of bytes as PNG."""
    rows, columns, _ = rgba.shape
    raw = b"".join(b"\0" + rgba[i].tobytes() for i in range(rows))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def smooth(x: np.ndarray) -> np.ndarray:
    """A 3 x 3 binomial filter."""
    for axis in (0, 1):
        ends = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]
        wide = np.pad(x, ends, mode="edge")
        x = (np.take(wide, range(x.shape[axis]), axis) + 2 * x + np.take(wide, range(2, x.shape[axis] + 2), axis)) / 4
    return x


def draw() -> str:
    """The snail half a Gyr after the push, stars of a million; it fades out where there are none."""
    ds = carry_out(lab.plan(preset="gaia", n_particles=1_000_000, frames=2))[0]
    density, expected = smooth(ds["density"].values[-1].astype(float)), smooth(ds["expected"].values.astype(float))
    value = np.clip((density / np.maximum(expected, 1e-9) - 1) / 0.45, -1, 1)
    # The two ends of the map, faded towards the page: on a dark one the middle is dark.
    ends = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in ramp("diverging", 3)], np.uint8)
    index = np.where(value > 0, 2, 0).T[::-1]
    strength = np.clip(expected / 12, 0, 1) * np.clip(1.5 * np.abs(value), 0, 1)
    alpha = (np.round(strength.T[::-1] * 15) * 17).astype(np.uint8)  # sixteen steps: it packs well
    rgba = np.concatenate([ends[index], alpha[..., None]], axis=-1)
    rgba[rgba[..., 3] == 0] = 0
    data = base64.b64encode(png(np.ascontiguousarray(rgba))).decode()
    title = "<title>Stars of a disc in the plane of height and vertical velocity, half a Gyr after a push</title>"
    picture = f'<image x="20" y="-55" width="260" height="260" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{title}{picture}</svg>\n'


if __name__ == "__main__":
    Path(__file__).with_name("thumbnail.svg").write_text(draw(), encoding="utf-8")
