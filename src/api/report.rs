//! The cost of kernels: operations and bytes from the plan, the least time on a GPU, and the
//! assembler's report on the compiled code.

use crate::{
    backend::{
        Build, Precision,
        cuda::{
            assembly::{self, Function},
            emit,
        },
    },
    plan::Cost,
    run::compiled::CompiledPrograms,
};
use serde::Serialize;
use std::fmt;

/// The peak rates of a GPU for dense operands, from NVIDIA's data sheets.
struct Gpu {
    name: &'static str,
    arch: &'static str,
    /// Bytes per second.
    bandwidth: f64,
    /// Operations per second in f32 without tensor cores, and in tf32 and bf16 on tensor cores with
    /// f32 accumulation.
    peaks: [f64; 3],
    /// Limits of a multiprocessor: threads, blocks, registers and bytes of shared memory.
    threads: usize,
    blocks: usize,
    registers: usize,
    shared: usize,
}

const GPUS: [Gpu; 4] = [
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
    /// The least time in seconds: the time of the operations or of the bytes, whichever is longer.
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

    /// The fraction of a multiprocessor's threads that can be resident, with this many threads per
    /// block.
    fn occupancy(&self, function: &Function, threads: usize) -> f64 {
        // Registers are allocated to warps in units of 256.
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

/// The costs of all programs of a compiled model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostReport {
    /// The GPU whose peak rates and bandwidth determine the least times.
    pub gpu: &'static str,
    /// Its architecture.
    pub architecture: &'static str,
    /// The precision of matrix products.
    pub precision: Precision,
    /// The gradient, update and evaluation programs.
    pub programs: Vec<ProgramCost>,
}

/// The cost of a program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgramCost {
    /// The program's name, such as `gradient`.
    pub name: String,
    /// The number of kernels that are contractions.
    pub contractions: usize,
    /// The number of launches on a GPU.
    pub launches: usize,
    /// The cost of each kernel.
    pub kernels: Vec<KernelCost>,
    /// The sum over all kernels.
    pub total: KernelCost,
    /// Bytes that all launches move.
    pub bytes_moved: usize,
    /// Operations of matrix products if rows were copied for every class and sample; `None` if that
    /// needs no more operations.
    pub tiled_operations: Option<u64>,
    /// The assembler's report on each function; empty without a compiler.
    pub functions: Vec<LaunchReport>,
}

/// The cost of a kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelCost {
    /// The kernel's name in the plan.
    pub kernel: String,
    /// All floating-point operations.
    pub operations: u64,
    /// Operations of matrix products.
    pub products: u64,
    /// The least number of bytes that the kernel reads and writes.
    pub bytes: u64,
    /// The least time in microseconds, from the GPU's peak rates and bandwidth.
    pub least_microseconds: f64,
}

/// The assembler's report on a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaunchReport {
    /// The function's name in the source.
    pub function: String,
    /// Bytes that the launch moves.
    pub bytes_moved: usize,
    /// Registers per thread.
    pub registers: usize,
    /// Bytes of shared memory per block.
    pub shared: usize,
    /// Bytes of registers spilled to memory.
    pub spilled: usize,
    /// The fraction of a multiprocessor's threads that can be resident.
    pub occupancy: f64,
}

impl CostReport {
    /// The costs of all programs and their least times on a GPU of the architecture `arch`.
    pub(super) fn new(compiled: &CompiledPrograms, arch: &str, precision: Precision) -> Self {
        let gpu = GPUS.iter().find(|gpu| gpu.arch == arch).unwrap_or(&GPUS[1]);
        let program = |build: &Build| {
            let assembled = compiled.assembled.iter().find(|assembled| {
                assembled.program == build.name && assembled.architecture == gpu.arch
            });
            let functions =
                assembled.map_or(Vec::new(), |assembled| assembly::functions(&assembled.log));
            program(build, &functions, gpu, precision)
        };
        CostReport {
            gpu: gpu.name,
            architecture: gpu.arch,
            precision,
            programs: compiled.builds.iter().map(program).collect(),
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report is plain data")
    }
}

fn program(build: &Build, functions: &[Function], gpu: &Gpu, precision: Precision) -> ProgramCost {
    let plan = &build.plan;
    let launches = emit::emit(plan, &build.name, precision).launches;
    let contractions = plan
        .kernels
        .iter()
        .filter(|kernel| kernel.contraction.is_some());
    let rounded = match precision {
        Precision::Bf16 => plan.multiplied_only(),
        Precision::F32 | Precision::Tf32 => Vec::new(),
    };
    let total = plan.total_cost(&rounded);
    let tiled = plan.tiled_operations();
    let launch = |function: &Function| LaunchReport {
        function: function.name.clone(),
        bytes_moved: launches
            .iter()
            .find(|launch| launch.function == function.name)
            .map_or(0, |launch| launch.moved),
        registers: function.registers,
        shared: function.shared,
        spilled: function.spilled,
        occupancy: gpu.occupancy(function, emit::THREADS),
    };
    ProgramCost {
        name: build.name.clone(),
        contractions: contractions.count(),
        launches: launches.len(),
        kernels: plan
            .kernels
            .iter()
            .map(|kernel| kernel_cost(&kernel.name, plan.cost(kernel, &rounded), gpu, precision))
            .collect(),
        total: kernel_cost("total", total, gpu, precision),
        bytes_moved: launches.iter().map(|launch| launch.moved).sum(),
        tiled_operations: (tiled > total.products).then_some(tiled),
        functions: functions.iter().map(launch).collect(),
    }
}

fn kernel_cost(kernel: &str, cost: Cost, gpu: &Gpu, precision: Precision) -> KernelCost {
    KernelCost {
        kernel: kernel.to_string(),
        operations: cost.products + cost.others,
        products: cost.products,
        bytes: cost.bytes,
        least_microseconds: 1e6 * gpu.time(cost, precision),
    }
}

impl fmt::Display for CostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "least time: from the peak rates and bandwidth of {} ({})",
            self.gpu, self.architecture
        )?;
        self.programs
            .iter()
            .try_for_each(|program| program.write(f, self.gpu, self.precision))
    }
}

impl ProgramCost {
    fn write(&self, f: &mut fmt::Formatter<'_>, gpu: &str, precision: Precision) -> fmt::Result {
        writeln!(
            f,
            "{}: {} kernels, {} of them contractions, in {} launches; {gpu} in {precision}",
            self.name,
            self.kernels.len(),
            self.contractions,
            self.launches,
        )?;
        writeln!(
            f,
            "  {:44} {:>9} {:>9} {:>9} {:>9}",
            "kernel", "Mop", "products", "min KiB", "min µs"
        )?;
        for kernel in self.kernels.iter().chain([&self.total]) {
            writeln!(f, "  {:44} {kernel}", kernel.kernel)?;
        }
        let (moved, least) = (kib(self.bytes_moved as u64), kib(self.total.bytes));
        writeln!(
            f,
            "  moved by the launches: {moved:.1} KiB, {:.2} times the minimum",
            moved / least
        )?;
        if let Some(tiled) = self.tiled_operations {
            writeln!(
                f,
                "  if rows were tiled over classes and samples: {} Mop in products, {:.2} times as many",
                tiled / 1_000_000,
                tiled as f64 / self.total.products as f64
            )?;
        }
        self.functions
            .iter()
            .try_for_each(|function| writeln!(f, "  {function}"))
    }
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

impl fmt::Display for KernelCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:9.1} {:9.1} {:9.1} {:9.2}",
            self.operations as f64 / 1e6,
            self.products as f64 / 1e6,
            kib(self.bytes),
            self.least_microseconds
        )
    }
}

impl fmt::Display for LaunchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:44} {:9.1} KiB moved, {:3} registers, {:6} B shared, {} B spilled, {:3.0} % occupancy",
            self.function,
            kib(self.bytes_moved as u64),
            self.registers,
            self.shared,
            self.spilled,
            100.0 * self.occupancy
        )
    }
}
