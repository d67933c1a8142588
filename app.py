"""The app: `panel serve app.py`. Limits for visitors come from the environment (`STABVIZ_PUBLIC=1`, see `stabviz.limits.Limits`)."""

from stabviz.app.main import build

build().servable()
