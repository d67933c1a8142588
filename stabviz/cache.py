"""JAX's persistent compilation cache: a program compiled once is there for every later process."""

from __future__ import annotations

import functools
import os
import pathlib

import jax
import platformdirs


@functools.cache
def use_compile_cache() -> None:
    """Keep compiled programs on disk, whatever they took to compile; a directory that the user chose is left alone.

    `STABVIZ_COMPILE_CACHE` names another directory; empty, it turns the cache off.
    """
    place = os.environ.get("STABVIZ_COMPILE_CACHE")
    if place == "" or jax.config.values.get("jax_compilation_cache_dir"):
        return
    directory = pathlib.Path(place or platformdirs.user_cache_dir("stabviz", appauthor=False)) / "compiled"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # nowhere to keep them: compile anew
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
