"""How well is a wrong gradient detected?  `python -m experiments.detection`

Every rule of `jbackprop.cases` is made wrong in every way of a family of faults.  Each mutant is given to `jb.check`,
to `jax.test_util.check_grads` and to `chex.assert_numerical_grads`.  The tables say who found what, fault by fault, and
who refused right rules.

`faults` are the ways to be wrong, `equivalence` tells without any checker whether a mutant is wrong at all, `tools` are
the checkers, `study` tries all of it and `report` writes it down.
"""
