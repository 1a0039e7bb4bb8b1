"""The backprop table of a network."""

from ._explain import explain as explain
from ._explanation import Explanation as Explanation
from ._row import Block as Block
from ._row import Row as Row
from ._row import Verdict as Verdict
