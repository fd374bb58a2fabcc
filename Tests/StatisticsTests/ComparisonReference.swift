// Reference values: scipy 1.17.1, statsmodels 0.15.0, numpy 2.4.6; made by
// Tools/statistics/make_reference.py with PCG64 seed 20261126. No Python is needed to run the tests.
// swift-format-ignore-file

/// (probability, z): scipy.stats.norm.ppf
let normalQuantiles: [(Double, Double)] = [(1e-12, -7.034483825301131), (0.001, -3.090232306167813), (0.025, -1.9599639845400545), (0.31, -0.4958503473474533), (0.5, 0.0), (0.8, 0.8416212335729143), (0.975, 1.959963984540054), (0.9999, 3.719016485455709)]

/// Differences of items.
let pairedDifferences: [Double] = [-0.592, -0.474, 0.721, 1.628, -1.159, 0.33, 2.112, 1.116, -1.476, 1.346, -0.114, -0.443, 0.248, -0.59, -1.015, 0.726, 1.323, 0.453, 0.899, -0.226]

/// The image of each of `pairedDifferences`.
let pairedClusters: [Int] = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 6, 7, 7, 8, 8]

/// scipy.stats.permutation_test of the images' sums, all sign flips
let signFlipReference: Double = 0.28515625

/// One skewed difference per image.
let independentDifferences: [Double] = [-0.825, -0.538, -0.293, -0.347, 2.886, 1.344, 0.43, -0.697, -0.006, -0.722, -0.339, -0.054, -0.08, 1.642, 0.093, -0.337, -0.711, 2.576, 0.886, 0.336, -0.758, 0.533, -0.615, 1.821]

/// scipy.stats.bootstrap, BCa, 200,000 resamples; of `independentDifferences`
let bcaReference: (Double, Double) = (-0.09429166666666668, 0.7623333333333333)

/// DescrStatsW.ttost_mean of `independentDifferences` with margins (margin, p)
let tostReference: [(Double, Double)] = [(0.3, 0.42716174171947047), (0.6, 0.06657955613068822), (1.0, 0.0012744659342384264), (1.4, 1.3761363549901591e-05)]

/// scipy.stats.ttest_1samp of `independentDifferences`
let tTestReference: Double = 0.24792560935854197

/// (only A, only B, p): statsmodels mcnemar, exact
let mcnemarReference: [(Int, Int, Double)] = [(0, 0, 1.0), (1, 0, 1.0), (3, 9, 0.14599609375), (12, 4, 0.076812744140625), (30, 31, 1.0), (5, 40, 7.878384167270269e-08)]

/// (p, adjusted): statsmodels multipletests, holm
let holmReference: ([Double], [Double]) = ([0.01, 0.04, 0.03, 0.005, 0.9, 0.03], [0.05, 0.12, 0.12, 0.03, 0.9, 0.12])

/// (effect / spread, power, images): statsmodels TTestPower.solve_power, two-sided 5 %
let powerReference: [(Double, Double, Double)] = [(0.2, 0.8, 198.150820955562), (0.5, 0.8, 33.36713118431779), (0.5, 0.9, 43.99548069841475), (1.0, 0.8, 9.93785094105438)]

/// Three cells over the items of `pairedClusters`.
let gridColumns: [[Double]] = [[0.158, -1.195, 0.533, -0.082, -2.122, -0.532, 4.25, 2.069, -1.438, 0.419, -0.981, -0.649, -1.317, -1.92, -0.314, -0.24, 0.009, -1.303, -0.127, 0.583], [1.958, 0.431, 1.899, 2.008, 0.292, -0.063, 0.701, 0.475, -0.576, -0.985, 1.208, 1.01, -0.443, -1.04, 0.245, 0.502, 2.765, -0.327, 2.15, 0.89], [0.995, 0.431, 1.258, 0.794, -1.151, 0.026, -0.156, 0.66, -0.011, 0.936, -0.272, 1.098, 0.844, -1.483, -1.661, -0.631, -0.396, -0.458, 1.132, -0.025]]

/// Single-step maxT over all sign flips, in numpy.
let maxStatisticReference: [Double] = [0.92578125, 0.1015625, 0.9765625]

/// Differences of 8 images, one row per seed.
let crossedColumns: [[Double]] = [[2.678, 0.088, 2.272, 2.257, 2.323, 1.551, 1.403, -0.632], [1.943, 1.243, 2.435, 1.511, 2.387, 1.857, -0.008, -1.509], [2.667, 0.983, 2.058, 1.215, 2.716, -0.03, 1.768, -1.322], [1.433, -0.379, 1.167, 0.739, 0.021, 0.178, 0.001, -1.373]]

/// (mean, standard error, degrees of freedom, low, high): mean squares by statsmodels' anova_lm
let crossedReference: (Double, Double, Double, Double, Double) = (1.0512812500000002, 0.46828818704444397, 8.930220648962056, -0.009323359610332371, 2.1118858596103327)

/// Standard error of the intercept by statsmodels' mixedlm, REML, images and seeds as crossed random effects
let crossedMixedError: Double = 0.4683038477680689
