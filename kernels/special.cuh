// The derivatives of log Gamma, and log-densities of logarithms of parameters, in double precision: rare,
// and as exact as on the CPU. src/tensor/densities.rs explains the densities.

__device__ inline double digamma_of(double x) {
    double sum = 0.0;
    while (x < 10.0) {
        sum -= 1.0 / x;
        x += 1.0;
    }
    double square = 1.0 / (x * x);
    // Bernoulli numbers B_2n / 2n, the last first.
    double tail = 1.0 / 12.0;
    tail = tail * square - 691.0 / 32760.0;
    tail = tail * square + 1.0 / 132.0;
    tail = tail * square - 1.0 / 240.0;
    tail = tail * square + 1.0 / 252.0;
    tail = tail * square - 1.0 / 120.0;
    tail = tail * square + 1.0 / 12.0;
    return sum + log(x) - 0.5 / x - tail * square;
}

__device__ inline float digamma(float x) {
    return (float)digamma_of(x);
}

__device__ inline float trigamma(float argument) {
    double x = argument, sum = 0.0;
    while (x < 10.0) {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    double square = 1.0 / (x * x);
    double tail = 7.0 / 6.0;
    tail = tail * square - 691.0 / 2730.0;
    tail = tail * square + 5.0 / 66.0;
    tail = tail * square - 1.0 / 30.0;
    tail = tail * square + 1.0 / 42.0;
    tail = tail * square - 1.0 / 30.0;
    tail = tail * square + 1.0 / 6.0;
    return (float)(sum + 1.0 / x + 0.5 * square + tail * square / x);
}

// log(p / q), where the difference is p - q with all its digits.
__device__ inline double log_quotient(double p, double q, double difference) {
    return fabs(difference) < 0.3 * q ? log1p(difference / q) : log(p / q);
}

// The same, less p / q - 1.
__device__ inline double log_quotient_less_linear(double p, double q, double difference) {
    double w = difference / q, s = difference / (p + q), square = s * s;
    if (!(fabs(s) < 0.17)) return log(p / q) - w;
    double series = 2.0 / 21.0;
    series = series * square + 2.0 / 19.0;
    series = series * square + 2.0 / 17.0;
    series = series * square + 2.0 / 15.0;
    series = series * square + 2.0 / 13.0;
    series = series * square + 2.0 / 11.0;
    series = series * square + 2.0 / 9.0;
    series = series * square + 2.0 / 7.0;
    series = series * square + 2.0 / 5.0;
    series = series * square + 2.0 / 3.0;
    return s * square * series - s * w;
}

// log Gamma(y) - y log y + y, plus log y where the share is 0 and not 1.
__device__ inline double gamma_remainder(double y, double log_y, double share) {
    if (y < 8.0) return lgamma(y + 1.0) - (y + share) * log_y + y;
    double inverse = 1.0 / y, square = inverse * inverse;
    // Bernoulli numbers B_2n / (2n (2n - 1)), the last first.
    double tail = 1.0 / 156.0;
    tail = tail * square - 691.0 / 360360.0;
    tail = tail * square + 1.0 / 1188.0;
    tail = tail * square - 1.0 / 1680.0;
    tail = tail * square + 1.0 / 1260.0;
    tail = tail * square - 1.0 / 360.0;
    tail = tail * square + 1.0 / 12.0;
    return (0.5 - share) * log_y + 0.9189385332046728 + tail * inverse;
}

// y (log y - digamma(y)) - 1/2
__device__ inline double excess_of_digamma(double y) {
    if (y < 8.0) return y * (log(y) - digamma_of(y)) - 0.5;
    double inverse = 1.0 / y, square = inverse * inverse;
    double tail = 1.0 / 12.0;
    tail = tail * square - 691.0 / 32760.0;
    tail = tail * square + 1.0 / 132.0;
    tail = tail * square - 1.0 / 240.0;
    tail = tail * square + 1.0 / 252.0;
    tail = tail * square - 1.0 / 120.0;
    tail = tail * square + 1.0 / 12.0;
    return tail * inverse;
}

// p log(p / q) - p + q for the log of q and d = log q - log p.
__device__ inline double divergence(double p, double log_q, double d) {
    return fabs(d) < 0.5 ? p * (expm1(d) - d) : exp(log_q) - p - p * d;
}

__device__ inline float log_ratio(float x, float m) {
    return (float)(log((double)x) - m);
}

__device__ inline float excess(float x, float b, float a) {
    return (float)(x * exp((double)b) - exp((double)a));
}

__device__ inline float log_factorial_remainder(float x) {
    double positive = x == 0.0f ? 1e-200 : x;
    return (float)gamma_remainder(positive, log(positive), 0.0);
}

__device__ inline float poisson_divergence(float x, float log_rate) {
    double positive = x == 0.0f ? 1e-200 : x;
    return (float)divergence(x, log_rate, log_rate - log(positive));
}

__device__ inline float negative_binomial(float x, float log_mean, float log_dispersion) {
    double m = exp((double)log_mean), r = exp((double)log_dispersion), all = x + r;
    double positive = x == 0.0f ? 1e-200 : x;
    double spread = all * log_quotient(r + m, all, m - x), likely = x * (log_mean - log(positive));
    double remainders = gamma_remainder(all, log(all), 1.0) - gamma_remainder(r, log_dispersion, 1.0);
    return (float)(remainders - (spread - likely));
}

__device__ inline float negative_binomial_slope(float x, float log_mean, float log_dispersion) {
    double m = exp((double)log_mean), r = exp((double)log_dispersion), all = x + r;
    double spread = r * log_quotient_less_linear(all, r + m, x - m);
    return (float)(0.5 * x / all + excess_of_digamma(r) - r / all * excess_of_digamma(all) + spread);
}

__device__ inline float gamma_density(float x, float log_shape, float log_rate) {
    double shape = exp((double)log_shape), log_x = log((double)x), log_q = log_rate + log_x;
    double apart = divergence(shape, log_q, log_q - log_shape);
    return (float)(-apart - gamma_remainder(shape, log_shape, 1.0) - log_x);
}

__device__ inline float gamma_slope(float x, float log_shape, float log_rate) {
    double shape = exp((double)log_shape), d = log_rate + log((double)x) - log_shape;
    return (float)(shape * d + (0.5 + excess_of_digamma(shape)));
}

__device__ inline float beta_density(float x, float log_alpha, float log_beta) {
    double alpha = exp((double)log_alpha), beta = exp((double)log_beta), all = alpha + beta;
    double rest = 1.0 - x, above = alpha * rest - beta * x;
    double left = alpha * log_quotient(alpha, all * x, above);
    double right = beta * log_quotient(beta, all * rest, -above);
    double remainders = gamma_remainder(all, log(all), 1.0) - gamma_remainder(alpha, log_alpha, 1.0) -
                        gamma_remainder(beta, log_beta, 1.0);
    return (float)(remainders - (left + right) - log((double)x) - log(rest));
}

// The slope by the log of alpha, where the quotient is log(alpha / (all x)).
__device__ inline float beta_slope(double alpha, double beta, double all, double quotient) {
    double digammas = excess_of_digamma(alpha) - alpha / all * excess_of_digamma(all);
    return (float)(0.5 * beta / all + digammas - alpha * quotient);
}

__device__ inline float beta_slope_by_alpha(float x, float log_alpha, float log_beta) {
    double alpha = exp((double)log_alpha), beta = exp((double)log_beta), all = alpha + beta;
    return beta_slope(alpha, beta, all, log_quotient(alpha, all * x, alpha * (1.0 - x) - beta * x));
}

__device__ inline float beta_slope_by_beta(float x, float log_alpha, float log_beta) {
    double alpha = exp((double)log_alpha), beta = exp((double)log_beta), all = alpha + beta;
    double rest = 1.0 - x;
    return beta_slope(beta, alpha, all, log_quotient(beta, all * rest, beta * x - alpha * rest));
}
