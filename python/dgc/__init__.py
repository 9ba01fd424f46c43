"""dgc compiles deep generative models to fused kernels, trains them and uses what they learned.

A model is a text with two graphs: how the data are generated, and how the latent variables are
inferred. :class:`Model` checks it, :func:`train` trains it on arrays, tables or files, and the
resulting :class:`Run` predicts, encodes, reconstructs, imputes, scores and draws.
:mod:`dgc.sklearn` has estimators for scikit-learn.

>>> import dgc, numpy as np
>>> points = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
>>> model = dgc.Model('''
... model points {
...   size features = 2, hidden = 8
...   data   x: real[features]
...   latent z: real[1]
...   net body = [dense(hidden) > relu]
...   generative { z ~ normal(0, 1)
...                z -> x ~ normal(body) }
...   inference  { x -> z ~ normal(body) }
... }''')
>>> run = dgc.train(model, {"x": points}, epochs=2)
>>> run.encode({"x": points}).shape
(200, 1)
"""

from ._dgc import Error, __version__
from ._model import Model, Variable, draft
from ._run import Evaluation, Run, load
from ._train import resume, train

__all__ = [
    "Error",
    "Evaluation",
    "Model",
    "Run",
    "Variable",
    "__version__",
    "draft",
    "load",
    "resume",
    "train",
]
