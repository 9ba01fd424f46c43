//! What `dgc compile --report` prints: the cost of each kernel, and what the assembler made of it.

use crate::{
    backend::{
        Build, Precision,
        cuda::{assembly::Function, emit},
    },
    plan::Cost,
};

/// What a GPU can do at most, dense, by its maker's data sheets.
pub struct Gpu {
    pub name: &'static str,
    pub arch: &'static str,
    /// Bytes a second.
    bandwidth: f64,
    /// Operations a second: in single precision without tensor cores, and on them in tf32 and bf16
    /// with sums in f32.
    peaks: [f64; 3],
    /// Of a multiprocessor: threads, blocks, registers and bytes of shared memory.
    threads: usize,
    blocks: usize,
    registers: usize,
    shared: usize,
}

pub const GPUS: [Gpu; 4] = [
    Gpu {
        name: "A100 80GB SXM",
        arch: "sm_80",
        bandwidth: 2039e9,
        peaks: [19.5e12, 156e12, 312e12],
        threads: 2048,
        blocks: 32,
        registers: 65_536,
        shared: 164 << 10,
    },
    Gpu {
        name: "H100 SXM",
        arch: "sm_90",
        bandwidth: 3350e9,
        peaks: [67e12, 494.7e12, 989.4e12],
        threads: 2048,
        blocks: 32,
        registers: 65_536,
        shared: 228 << 10,
    },
    Gpu {
        name: "B200",
        arch: "sm_100",
        bandwidth: 8000e9,
        peaks: [75e12, 1125e12, 2250e12],
        threads: 2048,
        blocks: 32,
        registers: 65_536,
        shared: 228 << 10,
    },
    Gpu {
        name: "RTX 5090",
        arch: "sm_120",
        bandwidth: 1792e9,
        peaks: [104.8e12, 104.8e12, 209.5e12],
        threads: 1536,
        blocks: 24,
        registers: 65_536,
        shared: 100 << 10,
    },
];

impl Gpu {
    /// The least seconds that a cost takes: its operations or its bytes, whichever take longer.
    fn time(&self, cost: Cost, precision: Precision) -> f64 {
        let [f32, tf32, bf16] = self.peaks;
        let peak = match precision {
            Precision::F32 => f32,
            Precision::Tf32 => tf32,
            Precision::Bf16 => bf16,
        };
        let operations = cost.products as f64 / peak + cost.others as f64 / f32;
        operations.max(cost.bytes as f64 / self.bandwidth)
    }

    /// The part of a multiprocessor's threads that can be there at once, for blocks of so many.
    fn occupancy(&self, function: &Function, threads: usize) -> f64 {
        // Registers are given out to warps in units of 256.
        let warp = (32 * function.registers).next_multiple_of(256).max(1);
        let by_registers = self.registers / (warp * threads / 32);
        let by_shared = self.shared / (function.shared + 1024);
        let blocks = self
            .blocks
            .min(self.threads / threads)
            .min(by_registers)
            .min(by_shared);
        (blocks * threads) as f64 / self.threads as f64
    }
}

/// The report of one program; `functions` are what the assembler said of it for the GPU's
/// architecture, if it was asked.
pub fn program(
    build: &Build,
    functions: &[Function],
    threads: usize,
    gpu: &Gpu,
    precision: Precision,
) -> String {
    let plan = &build.plan;
    let launches = emit::emit(plan, &build.name, precision).launches;
    let moved = launches.iter().map(|launch| launch.moved).sum::<usize>() as f64 / 1024.0;
    let contractions = plan
        .kernels
        .iter()
        .filter(|kernel| kernel.contraction.is_some())
        .count();
    let mut text = format!(
        "{}: {} kernels, {contractions} of them contractions, in {} launches; {} in {precision}\n  {:44} {:>9} {:>9} {:>9} {:>9}\n",
        build.name,
        plan.kernels.len(),
        launches.len(),
        gpu.name,
        "kernel",
        "Mop",
        "of which×",
        "KiB least",
        "µs least"
    );
    for kernel in &plan.kernels {
        let cost = plan.cost(kernel);
        text += &format!("  {:44} {}\n", kernel.name, costs(cost, gpu, precision));
    }
    let total = plan.total_cost();
    text += &format!("  {:44} {}\n", "total", costs(total, gpu, precision));
    let least = total.bytes as f64 / 1024.0;
    text += &format!(
        "  moved by the launches: {moved:.1} KiB, {:.2} times the least\n",
        moved / least
    );
    let tiled = plan.tiled_operations();
    if tiled > total.products {
        let times = tiled as f64 / total.products as f64;
        text += &format!(
            "  with rows tiled over classes and samples: {} Mop, {times:.2} times as many\n",
            tiled / 1_000_000
        );
    }
    for function in functions {
        let moved = launches
            .iter()
            .find(|launch| launch.function == function.name)
            .map_or(0, |launch| launch.moved);
        text += &format!(
            "  {:44} {:9.1} KiB moved, {:3} registers, {:6} B shared, {} B spilled, {:3.0} % occupancy\n",
            function.name,
            moved as f64 / 1024.0,
            function.registers,
            function.shared,
            function.spilled,
            100.0 * gpu.occupancy(function, threads)
        );
    }
    text
}

fn costs(cost: Cost, gpu: &Gpu, precision: Precision) -> String {
    let million = |operations: u64| operations as f64 / 1e6;
    format!(
        "{:9.1} {:9.1} {:9.1} {:9.2}",
        million(cost.products + cost.others),
        million(cost.products),
        cost.bytes as f64 / 1024.0,
        1e6 * gpu.time(cost, precision)
    )
}
