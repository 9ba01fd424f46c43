// Reductions over the lanes of a warp and the threads of a block, in a fixed order.

#ifndef INFINITY
#define INFINITY __int_as_float(0x7F800000)
#endif
#ifndef NAN
#define NAN __int_as_float(0x7FC00000)
#endif

struct Sum {
    static __device__ __forceinline__ float start() { return 0.0f; }
    static __device__ __forceinline__ float join(float a, float b) { return a + b; }
};

struct Max {
    static __device__ __forceinline__ float start() { return -INFINITY; }
    // NaN wins, so that it is seen.
    static __device__ __forceinline__ float join(float a, float b) { return a != a || a > b ? a : b; }
};

// Every lane gets the result.
template <class Op>
__device__ __forceinline__ float warp_reduce(float value) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        value = Op::join(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
    }
    return value;
}

// Every thread gets the result; `shared` has a float for each warp. All threads of the block must call it.
template <class Op>
__device__ __forceinline__ float block_reduce(float value, float* shared) {
    value = warp_reduce<Op>(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    value = shared[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) value = Op::join(value, shared[warp]);
    return value;
}

// The same for 32 columns at once: joins the values of threads that are 32 apart. Every thread of the block must call it; its first
// warp has the results.
template <typename Op>
__device__ __forceinline__ float column_reduce(float value, float (*shared)[32]) {
    unsigned part = threadIdx.x / 32, column = threadIdx.x % 32;
    __syncthreads();
    shared[part][column] = value;
    __syncthreads();
    if (part == 0) {
        for (unsigned other = 1; other < blockDim.x / 32; ++other) value = Op::join(value, shared[other][column]);
    }
    return value;
}
