// Rows of a table that stays on the device, one after the other: block b copies row rows[b], of `width` floats.
extern "C" __global__ void __launch_bounds__(256)
gather_rows(const float* table, const unsigned* rows, float* out, unsigned long long width) {
    const float* from = table + rows[blockIdx.x] * width;
    float* to = out + blockIdx.x * width;
    for (unsigned long long i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}
