/* The GAN game on densities over a grid: what coursekit.theory computes, for a browser. Nats throughout. */
(() => {
  "use strict";

  const EPSILON = Number.EPSILON; // of float64
  const SMALLEST_NORMAL = 2 ** -1022;

  const xlogy = (x, y) => (x === 0 ? 0 : x * Math.log(y));

  /* log(1 / (1 + exp(-a))), for any a. */
  const logSigmoid = a => (a >= 0 ? -Math.log1p(Math.exp(-a)) : a - Math.log1p(Math.exp(a)));

  const sigmoid = a => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));

  const grid = (low, high, points) =>
    Float64Array.from({length: points}, (_, i) => low + ((high - low) * i) / (points - 1));

  /* Weights of the trapezoidal rule on an increasing grid. */
  const trapezoid = x =>
    x.map((_, i) => (x[Math.min(i + 1, x.length - 1)] - x[Math.max(i - 1, 0)]) / 2);

  /* Log density of share * N(means[0], widths[0]^2) + (1 - share) * N(means[1], widths[1]^2). */
  const logMixture = (x, {share, means, widths}) => {
    const offset = (part, k) => Math.log(part) - Math.log(widths[k] * Math.sqrt(2 * Math.PI));
    const [first, second] = [offset(share, 0), offset(1 - share, 1)];
    return Float64Array.from(x, at => {
      const a = first - 0.5 * ((at - means[0]) / widths[0]) ** 2;
      const b = second - 0.5 * ((at - means[1]) / widths[1]) ** 2;
      return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
    });
  };

  const exp = values => values.map(Math.exp);

  /* Sum of weight * f(i), where a point of weight 0 counts for nothing, even if f is infinite there. */
  const integrate = (weights, f) => {
    let sum = 0;
    for (let i = 0; i < weights.length; i++) if (weights[i] > 0) sum += weights[i] * f(i);
    return sum;
  };

  const checkLengths = (...lists) => {
    if (lists.some(list => list.length !== lists[0].length))
      throw new RangeError(`lists must be of one length, got ${lists.map(list => list.length).join(", ")}`);
  };

  /* p_data / (p_data + p_g); NaN where both are 0 (eq-optimal-discriminator). */
  const optimalDiscriminator = (pData, pG) => {
    checkLengths(pData, pG);
    return Float64Array.from(pData, (p, i) => {
      const larger = Math.max(p, pG[i]);
      return p / larger / (p / larger + pG[i] / larger);
    });
  };

  /* The logit of D*: log p_data - log p_g, finite also where D* rounds to 0 or 1 (eq-gan-log-ratio). */
  const optimalLogit = (logData, logG) => {
    checkLengths(logData, logG);
    return Float64Array.from(logData, (log, i) => log - logG[i]);
  };

  /* V(D, G) of a D in [0, 1] (eq-gan-value). D is ignored where both densities are 0. A 1 where D* rounds to 1 is
     read as D*, not as a certainty, and so is a 0 where D* rounds to 0. */
  const value = (pData, pG, d, weights) => {
    checkLengths(pData, pG, d, weights);
    return integrate(weights, i => {
      const [p, q] = [pData[i], pG[i]];
      if (p + q === 0) return 0;
      const notD = d[i] === 1 && q < EPSILON * p ? EPSILON / 2 : 1 - d[i];
      const isD = d[i] === 0 && p < SMALLEST_NORMAL * q ? SMALLEST_NORMAL : d[i];
      return xlogy(p, isD) + xlogy(q, notD);
    });
  };

  /* The same of D = sigmoid(logits): what a network computes, without rounding to 0 or 1. */
  const valueOfLogits = (pData, pG, logits, weights) => {
    checkLengths(pData, pG, logits, weights);
    const times = (density, log) => (density === 0 ? 0 : density * log);
    return integrate(weights, i => times(pData[i], logSigmoid(logits[i])) + times(pG[i], logSigmoid(-logits[i])));
  };

  /* Jensen-Shannon divergence, from 0 to log 2 (eq-jensen-shannon). */
  const jensenShannon = (p, q, weights) => {
    checkLengths(p, q, weights);
    const fromMixture = (a, b) => xlogy(a, a) - xlogy(a, a + b) + a * Math.LN2;
    const sum = integrate(weights, i => fromMixture(p[i], q[i]) + fromMixture(q[i], p[i]));
    return Math.max(0, sum / 2);
  };

  /* C(G) = -log 4 + 2 JSD (eq-gan-criterion). */
  const criterion = (pData, pG, weights) => -Math.log(4) + 2 * jensenShannon(pData, pG, weights);

  /* Where a function on the grid passes through 0, by linear interpolation. A stretch of zeros has its ends only. */
  const crossings = (x, f) => {
    checkLengths(x, f);
    const found = [];
    for (let i = 0; i + 1 < x.length; i++) {
      if (f[i] * f[i + 1] < 0) found.push(x[i] + ((x[i + 1] - x[i]) * f[i]) / (f[i] - f[i + 1]));
      else if (f[i] !== 0 && f[i + 1] === 0) found.push(x[i + 1]);
      else if (f[i] === 0 && f[i + 1] !== 0 && found.at(-1) !== x[i]) found.push(x[i]);
    }
    return found;
  };

  window.coursekitDensities = {
    crossings, criterion, exp, grid, integrate, jensenShannon, logMixture, logSigmoid, optimalDiscriminator,
    optimalLogit, sigmoid, trapezoid, value, valueOfLogits,
  };
})();
