// Numbers in memory: floats, and bf16 in arrays that are only multiplied.

struct BFloat16 {
    unsigned short bits;

    __device__ __forceinline__ operator float() const { return __int_as_float((int)bits << 16); }
    __device__ __forceinline__ BFloat16& operator=(float value) {
        bits = bf16_of(value);
        return *this;
    }
};

__device__ __forceinline__ float read_only(const float* from) { return __ldg(from); }
__device__ __forceinline__ float read_only(const BFloat16* from) { return BFloat16{__ldg(&from->bits)}; }

// Memory that nothing writes while a function runs: its loads need not wait for earlier stores.
template <class Number>
struct Read {
    const Number* start;

    __device__ __forceinline__ float operator[](Index at) const { return read_only(start + at); }
    __device__ __forceinline__ operator const Number*() const { return start; }
};
