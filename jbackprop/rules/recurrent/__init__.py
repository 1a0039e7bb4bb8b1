"""A state carried through time, and error signals carried back."""

from ._recurrent import bidirectional as bidirectional
from ._recurrent import gru as gru
from ._recurrent import lstm as lstm
from ._recurrent import rnn as rnn
