// Tensor cores and asynchronous copies: one function for each instruction, and the roundings of their operands.
//
// Lane l of a warp has group g = l / 4 and place t = l % 4. `mma` and `ldmatrix` are done by whole warps: every lane must call.

#ifdef __CUDACC__

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}

// Begins to copy a float to shared memory; 0 goes there if it is not `there`, and nothing is read. It has arrived after
// `copies_arrive`.
__device__ __forceinline__ void copy_async(float* to, const float* from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(there ? 4 : 0));
}

// The same for four neighbours on 16-byte boundaries, of which the first `count` are there.
__device__ __forceinline__ void copy_four_async(float* to, const float* from, int count) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(4 * count));
}

// Waits until this thread's copies have arrived; others see them after a barrier.
__device__ __forceinline__ void copies_arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// The bits of the nearest tf32, of two the even one: 10 bits of fraction.
__device__ __forceinline__ unsigned tf32_of(float value) {
#if __CUDA_ARCH__ >= 900
    unsigned bits;
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
#else
    unsigned bits = __float_as_uint(value);
    unsigned rounded = (bits + 0xFFFu + (bits >> 13 & 1u)) & ~0x1FFFu;
    return value != value ? bits : rounded;
#endif
}

// Two numbers as the nearest bf16, of two the even one, the first in the low half.
__device__ __forceinline__ unsigned bf16_pair(float first, float second) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

// One number likewise.
__device__ __forceinline__ unsigned short bf16_of(float value) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// c[16, 8] += a[16, 8] b[8, 8] in tf32. c has (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1); a has (g, t), (g + 8, t),
// (g, t + 4), (g + 8, t + 4); b has (t, g), (t + 4, g).
__device__ __forceinline__ void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// c[16, 8] += a[16, 16] b[16, 8] in bf16, two neighbours along k in each word: a has (g, 2t), (g + 8, 2t), (g, 2t + 8),
// (g + 8, 2t + 8); b has (2t, g), (2t + 8, g).
__device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 by 8 bf16: lanes 8i to 8i + 7 name the rows of matrix i, 16 bytes each; word i of a lane is (g, 2t) and
// (g, 2t + 1) of it, or (2t, g) and (2t + 1, g) if TRANSPOSED.
template <bool TRANSPOSED>
__device__ __forceinline__ void ldmatrix(unsigned (&words)[4], const unsigned short* row) {
    if (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                     : "r"(shared_address(row)));
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                     : "r"(shared_address(row)));
    }
}

#endif
