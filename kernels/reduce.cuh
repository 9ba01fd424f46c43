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
    // The result is NaN if an operand is.
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

// Joins the values of threads that are COLUMNS apart, for all columns at once. `shared` has a float for each thread. All threads of
// the block must call it; the first COLUMNS threads get the results.
template <class Op, unsigned COLUMNS>
__device__ __forceinline__ float column_reduce(float value, float* shared) {
    __syncthreads();
    shared[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x < COLUMNS) {
        for (unsigned other = threadIdx.x + COLUMNS; other < blockDim.x; other += COLUMNS) {
            value = Op::join(value, shared[other]);
        }
    }
    return value;
}
