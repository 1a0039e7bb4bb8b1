"""Training runs to look at and to measure: `python -m experiments --help`.

An experiment is one small module, `SUMMARY`, a dataclass `Settings` and `run(settings)`, listed in `cli.EXPERIMENTS`.
What they share has a file each: `data` and `idx` load, `classifier` trains, `comparison` measures, `runs` writes the
folder, `plots` draws it and `report` prints the end.  `gallery` trains nothing: it draws worked examples.  `docs`, a
program of its own, writes the reference with the gallery inside.
"""
