"""Measures what this machine's cores reach together, and prints JSON: name, number and unit. THREADS is their number.

f32 multiply-adds: a loop over registers, compiled here by g++ for this machine. Memory: the STREAM triad a = b + 3 c, over arrays that fit
into no cache, counting the bytes of the three arrays. Matrix products: torch (oneDNN) on 2048 × 2048 × 2048; in bf16 only with AVX-512,
because without it such a product takes a minute."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

THREADS = int(os.environ.get("THREADS", os.cpu_count()))

HAS_AVX512 = " avx512f " in pathlib.Path("/proc/cpuinfo").read_text()

# Independent sums, enough to cover the latency of a multiply-add on two ports.
FMA = r"""
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
typedef float Vector __attribute__((vector_size(BYTES)));
static const int SUMS = 12;
static const long ROUNDS = 40000000 / SUMS;
static float work() {
    Vector sums[SUMS], a, b;
    for (int i = 0; i < BYTES / 4; i++) { a[i] = 0.999f; b[i] = 1e-3f; }
    for (int s = 0; s < SUMS; s++) sums[s] = b * (float)s;
    for (long r = 0; r < ROUNDS; r++) {
        for (int s = 0; s < SUMS; s++) sums[s] = sums[s] * a + b;
        asm volatile("" : "+v"(a), "+v"(b));
    }
    float total = 0;
    for (int s = 0; s < SUMS; s++) for (int i = 0; i < BYTES / 4; i++) total += sums[s][i];
    return total;
}
int main(int, char **arguments) {
    int threads = atoi(arguments[1]);
    double best = 0;
    for (int trial = 0; trial < 3; trial++) {
        auto begun = std::chrono::steady_clock::now();
        std::vector<std::thread> all;
        for (int t = 0; t < threads; t++) all.emplace_back([] { volatile float kept = work(); (void)kept; });
        for (auto &thread : all) thread.join();
        double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        double rate = 2.0 * threads * ROUNDS * SUMS * (BYTES / 4) / seconds / 1e9;
        if (rate > best) best = rate;
    }
    printf("%f\n", best);
}
"""


def multiply_adds():
    """GFLOP/s of f32 multiply-adds; None without g++."""
    if not shutil.which("g++"):
        return None
    width = 64 if HAS_AVX512 else 32
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder) / "fma.cc", pathlib.Path(folder) / "fma"
        source.write_text(FMA)
        options = ["-O3", "-march=native", "-mprefer-vector-width=512", "-funroll-loops", "-pthread", f"-DBYTES={width}"]
        subprocess.run(["g++", *options, source, "-o", program], check=True)
        return float(subprocess.run([program, str(THREADS)], check=True, capture_output=True, text=True).stdout)


def fastest(action, trials=5):
    """Seconds of the fastest of some trials."""
    action()
    times = []
    for _ in range(trials):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return min(times)


def main():
    import torch

    torch.set_num_threads(THREADS)
    found = {}
    if (rate := multiply_adds()) is not None:
        found["f32 multiply-adds"] = rate, "GFLOP/s"
    length = 1 << 27
    a, b, c = (torch.ones(length) for _ in range(3))
    found["memory (triad)"] = 12 * length / fastest(lambda: torch.add(b, c, alpha=3, out=a)) / 1e9, "GB/s"
    del a, b, c
    side = 2048
    for name, kind in [("f32", torch.float32), ("bf16", torch.bfloat16)][:1 + HAS_AVX512]:
        x, y = (torch.randn(side, side).to(kind) for _ in range(2))
        found[f"{name} matrix product of oneDNN"] = 2 * side**3 / fastest(lambda: x @ y) / 1e9, "GFLOP/s"
    print(json.dumps(found))


main()
