"""Writes Tests/PluginHostTests/ProbeReference.swift: what scikit-learn makes of small tables that the probes learn from.

    pip install -r Tools/probes/requirements.txt
    python Tools/probes/make_reference.py
"""
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

ROWS, TEST, WIDTH, CLASSES, SEED = 48, 6, 5, 3, 20261127


def swift(values, digits=None):
    return "[" + ", ".join(repr(round(v, digits) if digits else v) for v in np.asarray(values).ravel().tolist()) + "]"


def centroid_log_probabilities(x, y, new):
    """Gaussian classes around their means, with one common spherical variance: nearest-mean.c."""
    means = NearestCentroid().fit(x, y).centroids_
    variance = ((x - means[y]) ** 2).mean()
    z = -((new[:, None] - means) ** 2).sum(-1) / (2 * variance)
    return z - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)) - z.max(1, keepdims=True)


rng = np.random.Generator(np.random.PCG64(SEED))
y = rng.integers(CLASSES, size=ROWS)
x = (rng.standard_normal((ROWS, WIDTH)) * [1, 4, 0.1, 1, 2] + [0, 3, 0, -1, 5] + rng.standard_normal((CLASSES, WIDTH))[y])
x = x.astype(np.float32).round(3)
x[:, 3] = 2.5  # a feature that never varies
new = (rng.standard_normal((TEST, WIDTH)) * [1, 4, 0.1, 0, 2] + [0, 3, 0, 2.5, 5]).astype(np.float32).round(3)
scaler = StandardScaler().fit(x.astype(float))
a, b = scaler.transform(x.astype(float)), scaler.transform(new.astype(float))
model = LogisticRegression(C=1 / 0.5, tol=1e-10, max_iter=10000).fit(a, y)
text = f"""// Reference values: scikit-learn {sklearn.__version__}, numpy {np.__version__}; made by Tools/probes/make_reference.py with PCG64
// seed {SEED}. No Python is needed to run the tests.
// swift-format-ignore-file

enum ProbeReference {{
  static let width = {WIDTH}, classes = {CLASSES}
  /// [{ROWS}, {WIDTH}]; the fourth feature is constant
  static let features: [Float] = {swift(x, 3)}
  static let targets: [Int32] = {swift(y)}
  /// [{TEST}, {WIDTH}]
  static let asked: [Float] = {swift(new, 3)}
  /// LogisticRegression(C=2) behind StandardScaler: predict_log_proba
  static let logistic: [Double] = {swift(model.predict_log_proba(b), 7)}
  /// NearestCentroid behind StandardScaler, as Gaussians of one variance
  static let centroid: [Double] = {swift(centroid_log_probabilities(a, y, b), 7)}
}}
"""
root = pathlib.Path(__file__).resolve().parents[2]
(root / "Tests/PluginHostTests/ProbeReference.swift").write_text(text)
