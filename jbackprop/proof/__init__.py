"""Proof of a hand-written gradient: every check has a reason, and names what it found wrong.

`check` returns a report or raises at the first fault; `assert_gradients` is the one line for a test suite.

Most of their time goes into compiling.  For a suite that runs at every save, `quick=True` takes those checks that share
a few programs, in two dtypes (`QUICK`); the whole proof is for the run before a release.
"""

from ._check import CHECKS as CHECKS
from ._check import QUICK as QUICK
from ._check import assert_gradients as assert_gradients
from ._check import check as check
from ._check import still_running as still_running
from ._report import Failure as Failure
from ._report import GradientError as GradientError
from ._report import Report as Report
from ._report import Result as Result
