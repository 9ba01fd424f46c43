"""Models and data of the tests."""

import numpy as np
import pytest

M2 = """
model m2 {
  size features, hidden = 16

  data   x: real[features]
  label  y: class[3]
  latent z: real[2]

  net body = [dense(hidden) > relu]

  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ normal(body)
  }

  inference {
    x    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }

  objective {
    sum y
    classify y weight 10
  }

  train {
    batch labelled 30, unlabelled 50
    optimizer adam(rate = 1e-2)
    epochs 10
  }
}
"""

VAE = """
model vae {
  size features, hidden = 16

  data   x: real[features]
  latent z: real[2]

  net body = [dense(hidden) > relu]

  generative {
         z ~ normal(0, 1)
    z -> x ~ normal(body)
  }

  inference {
    x -> z ~ normal(body)
  }

  train {
    batch 50
    optimizer adam(rate = 1e-2)
    epochs 5
  }
}
"""


def clusters(rows: int = 300, seed: int = 0, labelled: int = 90):
    """Three clusters in four dimensions; the class of the first rows is known."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, rows)
    centres = np.array([[2, 0, 0, 1], [-2, 1, 0, 0], [0, -2, 1, 0]])
    x = centres[truth] + 0.5 * random.normal(size=(rows, 4))
    y = np.where(np.arange(rows) < labelled, truth, -1)
    return x.astype(np.float32), y, truth


@pytest.fixture(scope="session")
def data():
    x, y, truth = clusters()
    return {"x": x, "y": y, "truth": truth}


@pytest.fixture(scope="session")
def run(data):
    import dgc

    return dgc.train(M2, {"x": data["x"], "y": data["y"]}, threads=1)
