"""How well is a wrong gradient detected?  `python -m experiments.detection`

Every rule of `jbackprop.cases` is made wrong in every way of a family of faults.  Each mutant is given to `jb.check`,
to `jax.test_util.check_grads` and to `chex.assert_numerical_grads`.  The tables say who found what, fault by fault, and
who refused right rules.

`faults` are the ways to be wrong and `mutants` what makes a rule so; `equivalence` tells without any checker whether a
mutant is wrong at all; `tools` are the checkers; `study` tries all of it, `right` tries functions that nobody here
wrote, and `report` writes it down.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from . import right, study
from .report import markdown, summary


def run(output: str = "runs/detection", cases: Sequence[str] = (), workers: int = 2) -> None:
    """Runs what is missing in the output folder, writes report.md and report.json there and prints the tables.

    Args:
      output: folder; a run that was stopped goes on from there.
      cases: names of the cases to make mutants of, the first one of each rule unless given.
      workers: processes at a time.

    Raises:
      ValueError: there is no case of such a name.
    """
    rows = study.run(output, cases, workers)
    text = markdown(rows, right.run(output))
    (Path(output) / "report.md").write_text(text)
    (Path(output) / "report.json").write_text(json.dumps(summary(rows), ensure_ascii=False, indent=2))
    print(text)
