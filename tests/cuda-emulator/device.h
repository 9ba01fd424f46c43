// What CUDA C++ needs to be compiled by a host compiler: this header comes before every source.
#pragma once
#include <math.h>
#include <stdint.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct Index3 {
    unsigned x, y, z;
};

inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Set by the driver when it loads a module, and before each thread goes on.
struct Emulator {
    Index3 thread, block, threads, blocks;
    void (*barrier)();
    // Gives the value that another lane of the warp passed in.
    unsigned (*shuffle)(unsigned value, unsigned lane);
};
extern "C" Emulator* emulator;
extern "C" {
Emulator* emulator;
}

#define threadIdx (emulator->thread)
#define blockIdx (emulator->block)
#define blockDim (emulator->threads)
#define gridDim (emulator->blocks)

inline void __syncthreads() { emulator->barrier(); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline float __int_as_float(int bits) {
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}
inline float __shfl_xor_sync(unsigned, float value, int mask) {
    unsigned bits;
    __builtin_memcpy(&bits, &value, 4);
    bits = emulator->shuffle(bits, (threadIdx.x % 32) ^ (unsigned)mask);
    __builtin_memcpy(&value, &bits, 4);
    return value;
}
inline float cospif(float x) { return (float)cos(M_PI * (double)x); }
inline float sinpif(float x) { return (float)sin(M_PI * (double)x); }
