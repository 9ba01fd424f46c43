// Philox4x32-10 (Salmon et al. 2011) and Box-Muller: element e of a stream is word e mod 4 of block e / 4, as on the CPU.

// The key of a run's noise.
struct Key {
    unsigned seed_low, seed_high, step_low, step_high;
};

__device__ __forceinline__ uint4 philox_block(uint4 c, unsigned k0, unsigned k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        unsigned left = __umulhi(c.x, 0xD2511F53u), left_low = c.x * 0xD2511F53u;
        unsigned right = __umulhi(c.z, 0xCD9E8D57u), right_low = c.z * 0xCD9E8D57u;
        c = make_uint4(right ^ c.y ^ k0, right_low, left ^ c.w ^ k1, left_low);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

__device__ __forceinline__ uint4 philox_words(const Key* key, unsigned stream, unsigned long long element) {
    uint4 counter = make_uint4((unsigned)(element / 4), stream, key->step_low, key->step_high);
    return philox_block(counter, key->seed_low, key->seed_high);
}

// The middle of one of 2^23 intervals of (0, 1).
__device__ __forceinline__ float unit(unsigned word) { return ((float)(word >> 9) + 0.5f) * (1.0f / 8388608.0f); }

__device__ __forceinline__ float noise_uniform(const Key* key, unsigned stream, unsigned long long element) {
    uint4 words = philox_words(key, stream, element);
    unsigned which = (unsigned)(element % 4);
    return unit(which == 0 ? words.x : which == 1 ? words.y : which == 2 ? words.z : words.w);
}

__device__ __forceinline__ float noise_normal(const Key* key, unsigned stream, unsigned long long element) {
    uint4 words = philox_words(key, stream, element);
    bool second = element % 4 >= 2;
    float radius = sqrtf(-2.0f * logf(unit(second ? words.z : words.x)));
    float turns = 2.0f * unit(second ? words.w : words.y);
    return radius * (element % 2 == 0 ? cospif(turns) : sinpif(turns));
}
