"""One value for each example, and what its output receives."""

from ._ctc import ctc as ctc
from ._divergence import kl_divergence as kl_divergence
from ._divergence import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from ._focal import sigmoid_focal as sigmoid_focal
from ._linear_softmax_cross_entropy import linear_softmax_cross_entropy as linear_softmax_cross_entropy
from ._losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from ._losses import squared_error as squared_error
from ._margin import multiclass_hinge as multiclass_hinge
from ._margin import triplet as triplet
from ._regression import absolute_error as absolute_error
from ._regression import huber as huber
from ._regression import log_cosh as log_cosh
from ._similarity import cosine_distance as cosine_distance
from ._similarity import cosine_similarity as cosine_similarity
from ._similarity import nt_xent as nt_xent
from ._softmax_cross_entropy import softmax_cross_entropy as softmax_cross_entropy
