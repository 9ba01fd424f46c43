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

// src/tensor/student_t.rs explains these functions.
__device__ inline float student_t(float centred, float log_scale, float log_degrees) {
    double y = 0.5 * exp((double)log_degrees), z = y + 0.5;
    double t = centred * exp(-(double)log_scale), u = t * t / (2.0 * y);
    double log_y = log_degrees - 0.6931471805599453;
    double gammas = gamma_remainder(z, log(z), 1.0) - gamma_remainder(y, log_y, 1.0) + z * log_quotient(z, y, 0.5);
    return (float)(gammas - 1.4189385332046728 - log_scale - z * log1p(u));
}

__device__ inline float student_t_slope(float centred, float log_scale, float log_degrees) {
    double degrees = exp((double)log_degrees), spread = degrees * exp(2.0 * log_scale), c = centred;
    return (float)(-(degrees + 1.0) * c / (spread + c * c));
}

__device__ inline float student_t_slope_by_degrees(float centred, float log_scale, float log_degrees) {
    double y = 0.5 * exp((double)log_degrees), z = y + 0.5;
    double t = centred * exp(-(double)log_scale), u = t * t / (2.0 * y);
    double digammas = y * log_quotient(z, y, 0.5) - y / z * (excess_of_digamma(z) + 0.5) + excess_of_digamma(y);
    return (float)(digammas + (y * log_quotient_less_linear(1.0, 1.0 + u, -u) + 0.5 * (u / (1.0 + u))));
}

// (x - location) / 2 without whole turns: src/tensor/von_mises.rs explains these functions.
__device__ inline double half_angle(float x, float location) {
    double angle = (double)x - location, turns = rint(angle * 0.15915494309189535);
    double rest = (angle - turns * 6.283185243606567) - turns * 6.357301884918343e-8;
    return 0.5 * (rest - turns * 2.4492935982947064e-16);
}

// I0(k) for the order 0, and 2 I1(k) / k for the order 1.
__device__ inline double bessel_power_series(double k, double order) {
    double sum = 1.0;
    for (int term = 32; term > 0; term--) sum = 1.0 + sum * (0.25 * k * k) / (term * (term + order));
    return sum;
}

// sqrt(2 pi k) exp(-k) I0(k), for the inverse of k.
__device__ inline double bessel_asymptotic_series(double inverse) {
    double sum = 1.0;
    for (int term = 24; term > 0; term--) {
        double odd = 2.0 * term - 1.0;
        sum = 1.0 + sum * inverse * (odd * odd / (8.0 * term));
    }
    return sum;
}

// k sqrt(2 pi k) exp(-k) (I0(k) - I1(k)).
__device__ inline double bessel_asymptotic_difference(double inverse) {
    double sum = 1.0;
    for (int term = 23; term > 0; term--) {
        double odd = 2.0 * term - 1.0, next = 2.0 * term + 1.0;
        sum = 1.0 + sum * inverse * (odd * next / (8.0 * term));
    }
    return 0.5 * sum;
}

__device__ inline double von_mises_drop(double k, float x, float location) {
    double sine = sin(half_angle(x, location));
    return 2.0 * k * sine * sine;
}

__device__ inline float von_mises(float x, float location, float log_concentration) {
    double k = exp((double)log_concentration);
    double greatest = k < 16.0
        ? k - log(bessel_power_series(k, 0.0))
        : 0.9189385332046728 + 0.5 * log_concentration - log(bessel_asymptotic_series(1.0 / k));
    return (float)(greatest - 1.8378770664093456 - von_mises_drop(k, x, location));
}

__device__ inline float von_mises_slope(float x, float location, float log_concentration) {
    double half = half_angle(x, location);
    return (float)(-2.0 * exp((double)log_concentration) * sin(half) * cos(half));
}

__device__ inline float von_mises_slope_by_concentration(float x, float location, float log_concentration) {
    double k = exp((double)log_concentration), greatest;
    if (k < 16.0) {
        greatest = k - 0.5 * k * k * (bessel_power_series(k, 1.0) / bessel_power_series(k, 0.0));
    } else {
        greatest = bessel_asymptotic_difference(1.0 / k) / bessel_asymptotic_series(1.0 / k);
    }
    return (float)(greatest - von_mises_drop(k, x, location));
}
