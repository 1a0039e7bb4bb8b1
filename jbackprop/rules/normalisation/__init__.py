"""Standardised entries, scaled and shifted."""

from ._batch_norm import batch_norm as batch_norm
from ._batch_norm import batch_norm_evaluation as batch_norm_evaluation
from ._normalisation import group_norm as group_norm
from ._normalisation import instance_norm as instance_norm
from ._normalisation import layer_norm as layer_norm
from ._normalisation import rms_norm as rms_norm
from ._standardise import Keep as Keep
