// The derivatives of log Gamma for x > 0, in double precision: rare, and as exact as on the CPU.

__device__ inline float digamma(float argument) {
    double x = argument, sum = 0.0;
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
    return (float)(sum + log(x) - 0.5 / x - tail * square);
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
