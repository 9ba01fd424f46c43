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
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct Index3 {
    unsigned x, y, z;
};

inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Set by the driver when it loads a module, and before each thread goes on.
struct Emulator {
    Index3 thread, block, threads, blocks;
    void (*barrier)();
    // Gives the value that another lane of the warp passed in.
    unsigned (*shuffle)(unsigned value, unsigned lane);
    // Counts what a thread reads or writes, at a place of the code.
    void (*access)(const void* at, size_t bytes, bool write, const void* place);
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
template <class Number>
inline Number __ldg(const Number* from) { return *from; }
inline float cospif(float x) { return (float)cos(M_PI * (double)x); }
inline float sinpif(float x) { return (float)sin(M_PI * (double)x); }

// ---- what kernels/tensor.cuh makes of single instructions

// Copies that have not arrived. They are done as late as the model allows, so that a kernel that does not wait reads old numbers.
struct Copy {
    float* to;
    const float* from;
    int count, size;
};
constexpr int MOST_COPIES = 128;
static Copy copies[1024][MOST_COPIES];
static int copies_begun[1024];

inline void begin_copy(float* to, const float* from, int count, int size) {
    int& begun = copies_begun[threadIdx.x];
#ifdef COUNT_ACCESSES
    static const char place = 0;
    if (count > 0) emulator->access(from, 4 * count, false, &place);
#endif
    if (begun == MOST_COPIES || (uintptr_t)to % (4 * size) != 0 || (count > 0 && (uintptr_t)from % (4 * size) != 0)) __builtin_trap();
    copies[threadIdx.x][begun++] = {to, from, count, size};
}
inline void copy_async(float* to, const float* from, bool there) { begin_copy(to, from, there, 1); }
inline void copy_four_async(float* to, const float* from, int count) { begin_copy(to, from, count, 4); }
#ifdef COUNT_ACCESSES
__attribute__((no_sanitize_address))
#endif
inline void copies_arrive() {
    int& begun = copies_begun[threadIdx.x];
    for (int i = 0; i < begun; ++i) {
        const Copy& copy = copies[threadIdx.x][i];
        for (int j = 0; j < copy.size; ++j) copy.to[j] = j < copy.count ? copy.from[j] : 0.0f;
    }
    begun = 0;
}

inline unsigned bits_of(float value) {
    unsigned bits;
    __builtin_memcpy(&bits, &value, 4);
    return bits;
}
// A float's bits to the nearest with so many bits fewer, of two the even one.
inline unsigned rounded(float value, int fewer) {
    unsigned bits = bits_of(value), half = (1u << (fewer - 1)) - 1 + (bits >> fewer & 1u);
    return value != value ? bits : (bits + half) >> fewer << fewer;
}
inline unsigned tf32_of(float value) { return rounded(value, 13); }
inline unsigned bf16_pair(float first, float second) { return rounded(first, 16) >> 16 | rounded(second, 16); }
inline unsigned short bf16_of(float value) { return (unsigned short)(rounded(value, 16) >> 16); }

// What each lane of each warp shows the others. A shuffle before and after keeps the lanes together.
static uint64_t shown[32][32][8];
inline void meet() { emulator->shuffle(0, threadIdx.x % 32); }
template <class Word, int COUNT>
inline void show(const Word (&words)[COUNT], int first) {
    for (int i = 0; i < COUNT; ++i) shown[threadIdx.x / 32][threadIdx.x % 32][first + i] = (uint64_t)words[i];
}

// The product of two matrices whose elements other lanes show: `left(row, k)` and `right(k, column)` find them.
template <class Left, class Right>
inline void multiply_shown(float (&c)[4], int depth, Left left, Right right) {
    int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
    meet();
    for (int part = 0; part < 4; ++part) {
        int row = group + part / 2 * 8, column = place * 2 + part % 2;
        for (int k = 0; k < depth; ++k) c[part] += left(row, k) * right(k, column);
    }
    meet();
}
inline void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    show(a, 0);
    show(b, 4);
    auto& lanes = shown[threadIdx.x / 32];
    // A tensor core ignores the bits that tf32 lacks.
    auto number = [](uint64_t word) { return __int_as_float((int)word & ~0x1FFF); };
    multiply_shown(
        c, 8, [&](int row, int k) { return number(lanes[row % 8 * 4 + k % 4][row / 8 + k / 4 * 2]); },
        [&](int k, int column) { return number(lanes[column * 4 + k % 4][4 + k / 4]); });
}
inline void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    show(a, 0);
    show(b, 4);
    auto& lanes = shown[threadIdx.x / 32];
    auto number = [](uint64_t word, int k) { return __int_as_float((int)((unsigned)word >> k % 2 * 16 << 16)); };
    multiply_shown(
        c, 16, [&](int row, int k) { return number(lanes[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k); },
        [&](int k, int column) { return number(lanes[column * 4 + k % 8 / 2][4 + k / 8], k); });
}
template <bool TRANSPOSED>
inline void ldmatrix(unsigned (&words)[4], const unsigned short* row) {
    if ((uintptr_t)row % 16 != 0) __builtin_trap();
    uintptr_t rows[1] = {(uintptr_t)row};
    show(rows, 0);
    meet();
    int group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
    for (int matrix = 0; matrix < 4; ++matrix) {
        auto number = [&](int row, int column) {
            return ((const unsigned short*)shown[threadIdx.x / 32][matrix * 8 + row][0])[column];
        };
        unsigned first = TRANSPOSED ? number(place * 2, group) : number(group, place * 2);
        unsigned second = TRANSPOSED ? number(place * 2 + 1, group) : number(group, place * 2 + 1);
        words[matrix] = first | second << 16;
    }
    meet();
}

// ---- counting: the compiler calls these at each access, in place of the sanitizer's own

#ifdef COUNT_ACCESSES
#define HOOK(name, bytes, write) \
    extern "C" __attribute__((no_sanitize_address)) void name(const void* at) { \
        emulator->access(at, bytes, write, __builtin_return_address(0)); \
    }
HOOK(__asan_load1, 1, false)
HOOK(__asan_load2, 2, false)
HOOK(__asan_load4, 4, false)
HOOK(__asan_load8, 8, false)
HOOK(__asan_load16, 16, false)
HOOK(__asan_store1, 1, true)
HOOK(__asan_store2, 2, true)
HOOK(__asan_store4, 4, true)
HOOK(__asan_store8, 8, true)
HOOK(__asan_store16, 16, true)
#endif
