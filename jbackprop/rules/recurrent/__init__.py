"""A state carried through time, and error signals carried back."""

from ._gru import gru as gru
from ._lstm import lstm as lstm
from ._recurrent import bidirectional as bidirectional
from ._rnn import rnn as rnn
