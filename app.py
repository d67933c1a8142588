"""The app: `panel serve app.py`."""

from stabviz.app.main import build

build().servable()
