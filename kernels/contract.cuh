// One tile of C[m, n] = sum over k of A[m, k] B[k, n], for any strides: 64 by 64 elements, 256 threads, 4 by 4 elements each.

constexpr int TILE = 64;
constexpr int DEPTH = 16;
constexpr int THREADS = 256;

// This thread's rows and columns of the tile: four of each, side by side.
__device__ __forceinline__ int first_row() { return threadIdx.x / 16 * 4; }
__device__ __forceinline__ int first_column() { return threadIdx.x % 16 * 4; }

// Shared memory: parts of the operands, and later the tile.
union Stage {
    // Padded so that stores along k meet different banks, and loads stay aligned to four floats.
    struct {
        float left[DEPTH][TILE + 4];
        float right[DEPTH][TILE + 4];
    };
    float out[TILE][TILE + 4];

    // Shares the sums with all threads, so that neighbouring threads store neighbours.
    __device__ __forceinline__ void keep(const float (&sums)[4][4]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float4 four = make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
            *reinterpret_cast<float4*>(&out[first_row() + i][first_column()]) = four;
        }
        __syncthreads();
    }
};

struct Operand {
    const float* start;
    Index row_stride, column_stride;
};

// Adds the products along k to the tile at (m0, n0). ALONG_K: neighbours in memory are neighbours along k, of the left and of
// the right operand, so that neighbouring threads read neighbours. All threads of the block must call it.
template <bool LEFT_ALONG_K, bool RIGHT_ALONG_K>
__device__ __forceinline__ void accumulate(
    float (&sums)[4][4], Stage& stage, Operand left, Operand right, Index m, Index n, Index k, Index m0, Index n0) {
    for (Index k0 = 0; k0 < k; k0 += DEPTH) {
#pragma unroll
        for (int part = 0; part < TILE * DEPTH / THREADS; ++part) {
            int element = threadIdx.x + part * THREADS;
            int along = LEFT_ALONG_K ? element % DEPTH : element / TILE;
            int across = LEFT_ALONG_K ? element / DEPTH : element % TILE;
            bool there = m0 + across < m && k0 + along < k;
            stage.left[along][across] =
                there ? left.start[(m0 + across) * left.row_stride + (k0 + along) * left.column_stride] : 0.0f;
            along = RIGHT_ALONG_K ? element % DEPTH : element / TILE;
            across = RIGHT_ALONG_K ? element / DEPTH : element % TILE;
            there = n0 + across < n && k0 + along < k;
            stage.right[along][across] =
                there ? right.start[(k0 + along) * right.row_stride + (n0 + across) * right.column_stride] : 0.0f;
        }
        __syncthreads();
#pragma unroll 4
        for (int along = 0; along < DEPTH; ++along) {
            float4 a = *reinterpret_cast<const float4*>(&stage.left[along][first_row()]);
            float4 b = *reinterpret_cast<const float4*>(&stage.right[along][first_column()]);
            float rows[4] = {a.x, a.y, a.z, a.w}, columns[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
            }
        }
        __syncthreads();
    }
}
