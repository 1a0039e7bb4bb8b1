"""Proof of a hand-written gradient: every check has a reason, and names what it found wrong.

`check` returns a report or raises at the first fault; `assert_gradients` is the one line for a test suite.
"""

from ._check import CHECKS as CHECKS
from ._check import assert_gradients as assert_gradients
from ._check import check as check
from ._report import Failure as Failure
from ._report import GradientError as GradientError
from ._report import Report as Report
from ._report import Result as Result
