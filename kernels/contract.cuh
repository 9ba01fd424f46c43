// One tile of C[m, n] = sum over k of A[m, k] B[k, n], for any strides, made by the 256 threads of a block.
//
// F32, Tf32 and Bf16 are the ways to multiply, for tiles of M by N. Each has DEPTH, how much of k is in shared memory at a time;
// Sums, a thread's part of the tile; Left and Right, the operands in shared memory; `multiply`, which adds products to the sums; and
// `keep`, which puts a strip of STRIP rows of the tile into shared memory in order. All threads of a block must call these.

constexpr int THREADS = 256;

// How much of k a part of a tile has, in bf16. Half as many floats take as much shared memory; both parts of both operands take up
// to 40 KiB. A block waits for memory once for each part, so deeper is better.
__device__ constexpr int depth_of(int m, int n) { return m + n > 128 ? 32 : m + n > 64 ? 64 : 128; }

// A matrix in memory as an operand: `across` the axis that the result has, `along` k.
template <class Number>
struct Operand {
    static constexpr bool COMPUTED = false;
    const Number* start;
    Index across, along;

    __device__ __forceinline__ const Number* at(Index place, Index k) const { return start + place * across + k * along; }

    // Whether four neighbours on the axis without gaps lie together on a boundary of their size.
    template <bool ALONG_K>
    __device__ __forceinline__ bool vectors() const {
        Index step = ALONG_K ? along : across, gap = ALONG_K ? across : along;
        return step == 1 && gap % 4 == 0 && reinterpret_cast<size_t>(start) % (4 * sizeof(Number)) == 0;
    }
};

template <class Number>
__device__ __forceinline__ Operand<Number> in_memory(const Number* start, Index across, Index along) {
    return {start, across, along};
}

template <class Number>
__device__ __forceinline__ Operand<Number> in_memory(Read<Number> from, Index across, Index along) {
    return {from.start, across, along};
}

// Four neighbours in memory, and the same in bf16, two in each word.
template <class Number>
struct Four;

template <>
struct Four<float> {
    float4 numbers;

    __device__ __forceinline__ void load(const float* from) { numbers = *reinterpret_cast<const float4*>(from); }
    __device__ __forceinline__ void load(const float* from, Index next, const bool (&there)[4], const float* other) {
        float first = *(there[0] ? from : other), second = *(there[1] ? from + next : other);
        float third = *(there[2] ? from + 2 * next : other), fourth = *(there[3] ? from + 3 * next : other);
        numbers = make_float4(there[0] ? first : 0.0f, there[1] ? second : 0.0f, there[2] ? third : 0.0f,
                              there[3] ? fourth : 0.0f);
    }
    __device__ __forceinline__ void clear() { numbers = make_float4(0.0f, 0.0f, 0.0f, 0.0f); }
    __device__ __forceinline__ uint2 pairs() const {
        return make_uint2(bf16_pair(numbers.x, numbers.y), bf16_pair(numbers.z, numbers.w));
    }
};

template <>
struct Four<BFloat16> {
    uint2 words;

    __device__ __forceinline__ void load(const BFloat16* from) { words = *reinterpret_cast<const uint2*>(from); }
    __device__ __forceinline__ void load(const BFloat16* from, Index next, const bool (&there)[4], const BFloat16* other) {
        unsigned first = (there[0] ? from : other)->bits, second = (there[1] ? from + next : other)->bits;
        unsigned third = (there[2] ? from + 2 * next : other)->bits, fourth = (there[3] ? from + 3 * next : other)->bits;
        words = make_uint2((there[0] ? first : 0u) | (there[1] ? second << 16 : 0u),
                           (there[2] ? third : 0u) | (there[3] ? fourth << 16 : 0u));
    }
    __device__ __forceinline__ void clear() { words = make_uint2(0u, 0u); }
    __device__ __forceinline__ uint2 pairs() const { return words; }
};

// An operand whose elements are computed when they are needed, by `element(place, k)`: the product's prologue.
template <class Element>
struct Computed {
    static constexpr bool COMPUTED = true;
    Element element;
};

template <class Element>
__device__ __forceinline__ Computed<Element> computed(Element element) {
    return {element};
}

// The part of an operand that a block multiplies: across from `first` to `end`, along k up to `end_k`.
template <class Source>
struct Window {
    Source operand;
    Index first, end, end_k;

    __device__ __forceinline__ bool has(Index place, Index k) const { return place < end && k < end_k; }

    // A computed element; 0 beyond the last. There the last element is computed and dropped: a branch would wait for the numbers of
    // each element before it asks for those of the next.
    __device__ __forceinline__ float made(Index place, Index k) const {
        float element = operand.element(place < end ? place : end - 1, k < end_k ? k : end_k - 1);
        return has(place, k) ? element : 0.0f;
    }
};

// ---- operands in shared memory

// Floats by k, then across. They are copied while the part before is multiplied; computed ones wait in registers. With the padding,
// the lanes of a warp that read 8 neighbours of each of 4 rows use 32 different banks.
template <int DEPTH, int SIZE>
struct Copied {
    static constexpr int EACH = DEPTH * SIZE / THREADS;
    alignas(16) float numbers[DEPTH][SIZE + 8];

    template <class Source>
    struct Way {
        float values[Source::COMPUTED ? EACH : 1];
    };

    // A warp has 8 neighbours along k of 4 rows, whole sectors; or 32 neighbours across.
    template <bool ALONG_K>
    struct Turn {
        static constexpr int SPAN = ALONG_K ? 8 : 1;
        int along = threadIdx.x % SPAN + threadIdx.x / (SPAN * SIZE) * SPAN, across = threadIdx.x / SPAN % SIZE;

        // How far the turn that begins at element `i` is from the first.
        static __device__ __forceinline__ int down(int i) { return i / (SPAN * SIZE) * SPAN; }
        static __device__ __forceinline__ int right(int i) { return i / SPAN % SIZE; }
    };

    // Begins to bring the part from k0 on.
    template <bool ALONG_K, class Element>
    __device__ __forceinline__ void begin(Way<Computed<Element>>& way, const Window<Computed<Element>>& from, Index k0) {
        Turn<ALONG_K> turn;
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            Index place = from.first + turn.across + turn.right(i * THREADS), k = k0 + turn.along + turn.down(i * THREADS);
            way.values[i] = from.made(place, k);
        }
    }

    template <bool ALONG_K>
    __device__ __forceinline__ void begin(Way<Operand<float>>&, const Window<Operand<float>>& from, Index k0) {
        if (!ALONG_K && from.operand.vectors<false>()) {
            constexpr int ROW = SIZE / 4, STEP = THREADS / ROW;
            int along = threadIdx.x / ROW, across = threadIdx.x % ROW * 4;
            Index place = from.first + across, k = k0 + along;
            const float* source = from.operand.at(place, k);
            int width = place >= from.end ? 0 : from.end - place < 4 ? from.end - place : 4;
#pragma unroll
            for (int i = 0; i < DEPTH; i += STEP) {
                if (STEP > DEPTH && along >= DEPTH) continue;
                copy_four_async(&numbers[along + i][across], source + i * from.operand.along, k + i < from.end_k ? width : 0);
            }
        } else {
            Turn<ALONG_K> turn;
            Index place = from.first + turn.across, k = k0 + turn.along;
            const float* source = from.operand.at(place, k);
#pragma unroll
            for (int i = 0; i < DEPTH * SIZE; i += THREADS) {
                int down = turn.down(i), right = turn.right(i);
                bool there = from.has(place + right, k + down);
                const float* one = source + right * from.operand.across + down * from.operand.along;
                copy_async(&numbers[turn.along + down][turn.across + right], one, there);
            }
        }
    }

    // Ends it: the numbers are there after the next barrier.
    template <bool ALONG_K>
    __device__ __forceinline__ void end(Way<Operand<float>>&) {
        copies_arrive();
    }

    template <bool ALONG_K, class Element>
    __device__ __forceinline__ void end(Way<Computed<Element>>& way) {
        Turn<ALONG_K> turn;
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            numbers[turn.along + turn.down(i * THREADS)][turn.across + turn.right(i * THREADS)] = way.values[i];
        }
    }
};

// bf16 in the order of the operand's memory: by k, then across; or across, then by k. Floats are rounded on their way. All wait in
// registers while the part before is multiplied. With the padding, the 8 rows that `ldmatrix` reads are in different banks.
template <int DEPTH, int SIZE>
struct Rounded {
    static constexpr int EACH = DEPTH * SIZE / 4 / THREADS;
    static_assert(EACH * 4 * THREADS == DEPTH * SIZE, "each thread has as many fours");
    static constexpr int BY_K = DEPTH * (SIZE + 8), BY_PLACE = SIZE * (DEPTH + 8);
    alignas(16) unsigned short numbers[BY_K > BY_PLACE ? BY_K : BY_PLACE];

    template <class Source>
    struct Way;

    template <class Element>
    struct Way<Computed<Element>> {
        float values[4 * EACH];
    };

    template <class Number>
    struct Way<Operand<Number>> {
        Four<Number> fours[EACH];
    };

    // Where a thread's number goes if neighbouring threads make neighbours: its place in a row of memory, and the row.
    template <bool ALONG_K>
    struct Turn {
        static constexpr int ROW = ALONG_K ? DEPTH : SIZE, STEP = THREADS / ROW;
        int inner = threadIdx.x % ROW, outer = threadIdx.x / ROW;
    };

    template <bool ALONG_K>
    __device__ __forceinline__ const unsigned short* at(int across, int along) const {
        return &numbers[ALONG_K ? across * (DEPTH + 8) + along : along * (SIZE + 8) + across];
    }

    template <bool ALONG_K, class Element>
    __device__ __forceinline__ void begin(Way<Computed<Element>>& way, const Window<Computed<Element>>& from, Index k0) {
        using Turn = Turn<ALONG_K>;
        Turn turn;
#pragma unroll
        for (int i = 0; i < 4 * EACH; ++i) {
            int outer = turn.outer + i * Turn::STEP;
            Index place = from.first + (ALONG_K ? outer : turn.inner), k = k0 + (ALONG_K ? turn.inner : outer);
            way.values[i] = from.made(place, k);
        }
    }

    template <bool ALONG_K, class Number>
    __device__ __forceinline__ void begin(Way<Operand<Number>>& way, const Window<Operand<Number>>& from, Index k0) {
        constexpr int ROW = (ALONG_K ? DEPTH : SIZE) / 4, STEP = THREADS / ROW;
        int inner = threadIdx.x % ROW * 4, outer = threadIdx.x / ROW;
        Index place = from.first + (ALONG_K ? outer : inner), k = k0 + (ALONG_K ? inner : outer);
        Index next = ALONG_K ? from.operand.along : from.operand.across, gap = ALONG_K ? from.operand.across : from.operand.along;
        const Number* source = from.operand.at(place, k);
        // Each group of four is there as a whole or not at all.
        if (from.operand.template vectors<ALONG_K>() && (ALONG_K ? from.end_k : from.end) % 4 == 0) {
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                bool there = from.has(place + (ALONG_K ? i * STEP : 0), k + (ALONG_K ? 0 : i * STEP));
                // Where there are none, the first four of the operand are read and dropped.
                way.fours[i].load(there ? source + i * STEP * gap : from.operand.start);
                if (!there) way.fours[i].clear();
            }
        } else {
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                bool there[4];
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    there[j] = from.has(place + (ALONG_K ? i * STEP : j), k + (ALONG_K ? j : i * STEP));
                }
                way.fours[i].load(source + i * STEP * gap, next, there, from.operand.start);
            }
        }
    }

    template <bool ALONG_K, class Element>
    __device__ __forceinline__ void end(Way<Computed<Element>>& way) {
        using Turn = Turn<ALONG_K>;
        Turn turn;
#pragma unroll
        for (int i = 0; i < 4 * EACH; ++i) {
            numbers[(turn.outer + i * Turn::STEP) * (Turn::ROW + 8) + turn.inner] = bf16_of(way.values[i]);
        }
    }

    template <bool ALONG_K, class Number>
    __device__ __forceinline__ void end(Way<Operand<Number>>& way) {
        constexpr int row = ALONG_K ? DEPTH : SIZE;
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            int four = threadIdx.x + i * THREADS;
            int inner = four % (row / 4) * 4, outer = four / (row / 4);
            *reinterpret_cast<uint2*>(&numbers[outer * (row + 8) + inner]) = way.fours[i].pairs();
        }
    }
};

// Shared memory of a block: two parts of each operand, one multiplied while the other arrives; later a strip of the tile.
template <class Left, class Right, int STRIP, int N>
union Staged {
    struct {
        Left left[2];
        Right right[2];
    };
    alignas(16) float out[STRIP][N + 8];
};

// ---- multiplication

// COUNT side by side, of 1, 2 or 4.
template <int COUNT>
__device__ __forceinline__ void load(float* to, const float* from) {
    if constexpr (COUNT == 4) {
        float4 four = *reinterpret_cast<const float4*>(from);
        to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
    } else if constexpr (COUNT == 2) {
        float2 two = *reinterpret_cast<const float2*>(from);
        to[0] = two.x, to[1] = two.y;
    } else {
        to[0] = from[0];
    }
}

template <int COUNT>
__device__ __forceinline__ void store(float* to, const float* from) {
    if constexpr (COUNT == 4) {
        *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    } else if constexpr (COUNT == 2) {
        *reinterpret_cast<float2*>(to) = make_float2(from[0], from[1]);
    } else {
        to[0] = from[0];
    }
}

// Single precision: 16 by 16 threads, those of a warp 4 by 8. Each has groups of up to 4 neighbouring rows, and of columns.
template <int M_, int N_>
struct F32 {
    static constexpr int M = M_, N = N_, DEPTH = depth_of(M, N) / 2;
    static constexpr int ROWS = M / 16, COLUMNS = N / 16;
    static constexpr int HIGH = ROWS < 4 ? ROWS : 4, WIDE = COLUMNS < 4 ? COLUMNS : 4;
    static constexpr int STRIP = 16 * HIGH, BAND = 16 * WIDE;
    using Left = Copied<DEPTH, M>;
    using Right = Copied<DEPTH, N>;
    using Stage = Staged<Left, Right, STRIP, N>;
    struct Sums {
        float of[ROWS][COLUMNS] = {};
    };

    static __device__ __forceinline__ int first_row() { return (threadIdx.x / 64 * 4 + threadIdx.x % 32 / 8) * HIGH; }
    static __device__ __forceinline__ int first_column() { return (threadIdx.x / 32 % 2 * 8 + threadIdx.x % 8) * WIDE; }

    template <bool, bool>
    static __device__ __forceinline__ void multiply(Sums& sums, const Left& left, const Right& right) {
#pragma unroll 4
        for (int along = 0; along < DEPTH; ++along) {
            float rows[ROWS], columns[COLUMNS];
#pragma unroll
            for (int i = 0; i < ROWS; i += HIGH) {
                load<HIGH>(&rows[i], &left.numbers[along][i / HIGH * STRIP + first_row()]);
            }
#pragma unroll
            for (int j = 0; j < COLUMNS; j += WIDE) {
                load<WIDE>(&columns[j], &right.numbers[along][j / WIDE * BAND + first_column()]);
            }
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) sums.of[i][j] = fmaf(rows[i], columns[j], sums.of[i][j]);
            }
        }
    }

    static __device__ __forceinline__ void keep(const Sums& sums, Stage& stage, int strip) {
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            if (i / HIGH != strip) continue;
#pragma unroll
            for (int j = 0; j < COLUMNS; j += WIDE) {
                store<WIDE>(&stage.out[first_row() + i % HIGH][j / WIDE * BAND + first_column()], &sums.of[i][j]);
            }
        }
    }
};

// What tensor cores multiply: 8 warps, DOWN by 8 / DOWN; each has HIGH matrices of 16 rows, one in each strip, and WIDE side by
// side of 8 columns.
template <int M_, int N_>
struct Warps {
    static constexpr int M = M_, N = N_;
    static constexpr int DOWN = M / N >= 2 ? 4 : 2;
    static constexpr int STRIP = 16 * DOWN, HIGH = M / STRIP, WIDE = N / (8 / DOWN) / 8;
    struct Sums {
        float of[HIGH][WIDE][4] = {};
    };

    static __device__ __forceinline__ int lane() { return threadIdx.x % 32; }
    static __device__ __forceinline__ int first_row() { return threadIdx.x / 32 % DOWN * 16; }
    static __device__ __forceinline__ int first_column() { return threadIdx.x / 32 / DOWN * (WIDE * 8); }

    template <class Stage>
    static __device__ __forceinline__ void keep(const Sums& sums, Stage& stage, int strip) {
        int row = first_row() + lane() / 4, column = first_column() + lane() % 4 * 2;
#pragma unroll
        for (int i = 0; i < HIGH; ++i) {
            if (i != strip) continue;
#pragma unroll
            for (int j = 0; j < WIDE; ++j) {
                store<2>(&stage.out[row][column + j * 8], &sums.of[i][j][0]);
                store<2>(&stage.out[row + 8][column + j * 8], &sums.of[i][j][2]);
            }
        }
    }
};

// Operands rounded to tf32 as they leave shared memory.
template <int M_, int N_>
struct Tf32 : Warps<M_, N_> {
    using Base = Warps<M_, N_>;
    static constexpr int DEPTH = depth_of(M_, N_) / 2;
    using Left = Copied<DEPTH, M_>;
    using Right = Copied<DEPTH, N_>;
    using Stage = Staged<Left, Right, Base::STRIP, N_>;

    template <bool, bool>
    static __device__ __forceinline__ void multiply(typename Base::Sums& sums, const Left& left, const Right& right) {
        int group = Base::lane() / 4, place = Base::lane() % 4;
#pragma unroll 2
        for (int along = 0; along < DEPTH; along += 8) {
            unsigned columns[Base::WIDE][2];
#pragma unroll
            for (int j = 0; j < Base::WIDE; ++j) {
                int column = Base::first_column() + j * 8 + group;
                columns[j][0] = tf32_of(right.numbers[along + place][column]);
                columns[j][1] = tf32_of(right.numbers[along + place + 4][column]);
            }
#pragma unroll
            for (int i = 0; i < Base::HIGH; ++i) {
                int row = i * Base::STRIP + Base::first_row() + group;
                unsigned rows[4];
#pragma unroll
                for (int part = 0; part < 4; ++part) {
                    rows[part] = tf32_of(left.numbers[along + place + part / 2 * 4][row + part % 2 * 8]);
                }
#pragma unroll
                for (int j = 0; j < Base::WIDE; ++j) mma_tf32(sums.of[i][j], rows, columns[j]);
            }
        }
    }
};

// Operands rounded to bf16 as they enter shared memory.
template <int M_, int N_>
struct Bf16 : Warps<M_, N_> {
    using Base = Warps<M_, N_>;
    static constexpr int DEPTH = depth_of(M_, N_);
    using Left = Rounded<DEPTH, M_>;
    using Right = Rounded<DEPTH, N_>;
    using Stage = Staged<Left, Right, Base::STRIP, N_>;

    template <bool LEFT_ALONG_K, bool RIGHT_ALONG_K>
    static __device__ __forceinline__ void multiply(typename Base::Sums& sums, const Left& left, const Right& right) {
        // Of four matrices, those that this lane names a row of: which of the 16 rows, and which half of the 16 along k.
        int quarter = Base::lane() / 8, within = Base::lane() % 8;
#pragma unroll 4
        for (int along = 0; along < DEPTH; along += 16) {
            unsigned columns[Base::WIDE][2];
#pragma unroll
            for (int j = 0; j < Base::WIDE; j += 2) {
                // (k, columns), (k + 8, columns), then the same of the next 8 columns.
                int next = Base::WIDE > 1 ? quarter / 2 * 8 : 0, half = quarter % 2 * 8;
                int column = Base::first_column() + j * 8 + next + (RIGHT_ALONG_K ? within : 0);
                unsigned words[4];
                ldmatrix<!RIGHT_ALONG_K>(
                    words, right.template at<RIGHT_ALONG_K>(column, along + half + (RIGHT_ALONG_K ? 0 : within)));
                columns[j][0] = words[0], columns[j][1] = words[1];
                if (j + 1 < Base::WIDE) columns[j + 1][0] = words[2], columns[j + 1][1] = words[3];
            }
#pragma unroll
            for (int i = 0; i < Base::HIGH; ++i) {
                // (rows, k), (rows + 8, k), (rows, k + 8), (rows + 8, k + 8).
                int row = i * Base::STRIP + Base::first_row() + quarter % 2 * 8 + (LEFT_ALONG_K ? within : 0);
                unsigned rows[4];
                ldmatrix<!LEFT_ALONG_K>(
                    rows, left.template at<LEFT_ALONG_K>(row, along + quarter / 2 * 8 + (LEFT_ALONG_K ? 0 : within)));
#pragma unroll
                for (int j = 0; j < Base::WIDE; ++j) mma_bf16(sums.of[i][j], rows, columns[j]);
            }
        }
    }
};

// ---- a tile

// Adds the products along k, from k0 to k1, to the tile at (m0, n0). LEFT_ALONG_K and RIGHT_ALONG_K: in this operand, neighbours in
// memory are neighbours along k; neighbouring threads read neighbours in memory. The first barrier is in here, so what prologues
// read in shared memory may be written right before the call.
template <class Tile, bool LEFT_ALONG_K, bool RIGHT_ALONG_K, class LeftSource, class RightSource>
__device__ __forceinline__ void accumulate(typename Tile::Sums& sums, typename Tile::Stage& stage, LeftSource left,
                                           RightSource right, Index m, Index n, Index k0, Index k1, Index m0, Index n0) {
    if (k0 >= k1) return;
    Window<LeftSource> rows{left, m0, m, k1};
    Window<RightSource> columns{right, n0, n, k1};
    typename Tile::Left::template Way<LeftSource> left_way;
    typename Tile::Right::template Way<RightSource> right_way;
    // Computed operands come second, because they wait for their numbers.
    auto begin = [&](int part, Index k) {
        if (!LeftSource::COMPUTED) stage.left[part].template begin<LEFT_ALONG_K>(left_way, rows, k);
        stage.right[part].template begin<RIGHT_ALONG_K>(right_way, columns, k);
        if (LeftSource::COMPUTED) stage.left[part].template begin<LEFT_ALONG_K>(left_way, rows, k);
    };
    // Threads that still read the parts of the product before go first.
    __syncthreads();
    begin(0, k0);
    int now = 0;
#pragma unroll 1
    for (Index k = k0 + Tile::DEPTH;; k += Tile::DEPTH) {
        stage.left[now].template end<LEFT_ALONG_K>(left_way);
        stage.right[now].template end<RIGHT_ALONG_K>(right_way);
        // This part has arrived, and no thread reads the other one any more.
        __syncthreads();
        if (k >= k1) break;
        // No branch stands between these, so the compiler may compute the next part's numbers after the products of this one.
        begin(now ^ 1, k);
        Tile::template multiply<LEFT_ALONG_K, RIGHT_ALONG_K>(sums, stage.left[now], stage.right[now]);
        now ^= 1;
    }
    Tile::template multiply<LEFT_ALONG_K, RIGHT_ALONG_K>(sums, stage.left[now], stage.right[now]);
}

// Puts a strip of the tile into `stage.out`, so that neighbouring threads can take neighbours: thread t takes column t % N of row
// t / N, and of every row THREADS / N further.
template <class Tile>
__device__ __forceinline__ void keep(const typename Tile::Sums& sums, typename Tile::Stage& stage, int strip) {
    __syncthreads();
    Tile::keep(sums, stage, strip);
    __syncthreads();
}

// `at`, a place in the k of all products, as a place in the k of the product that begins at `start` and is `k` long.
__device__ __forceinline__ Index within(Index at, Index start, Index k) {
    return at <= start ? 0 : at - start < k ? at - start : k;
}

// The lanes of a warp share the products of one row and a vector, in single precision. Each lane gets its part of the sum.
__device__ __forceinline__ float row_products(const float* row, const float* vector, Index step, Index k) {
    float sum = 0.0f;
    for (Index along = threadIdx.x % 32; along < k; along += 32) sum = fmaf(row[along], vector[along * step], sum);
    return sum;
}
