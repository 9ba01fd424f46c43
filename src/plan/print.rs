//! Plans as text: kernels with their loops and contractions, then the buffers.

use super::{Access, Contraction, Instruction, Kernel, Loop, Matrix, Plan, Storage};
use crate::id::Id;

/// A plan as text: kernels, then buffers.
pub fn print(plan: &Plan) -> String {
    let mut text = String::new();
    for kernel in &plan.kernels {
        text += &print_kernel(plan, kernel);
    }
    text += "buffers\n";
    for (index, buffer) in plan.buffers.iter().enumerate() {
        let axes: Vec<&str> = buffer
            .axes
            .iter()
            .map(|axis| plan.axes[axis.index()].name.as_str())
            .collect();
        let place = match buffer.storage {
            Storage::Input => "input".to_string(),
            Storage::Output => "output".to_string(),
            Storage::Parameter(_) => "parameter".to_string(),
            Storage::Gradient(_) => "gradient".to_string(),
            Storage::Arena(offset) => format!("arena {offset}"),
        };
        text += &format!(
            "  b{index} {} [{}] {} floats, {place}\n",
            buffer.name,
            axes.join(", "),
            buffer.len
        );
    }
    let contractions = plan
        .kernels
        .iter()
        .filter_map(|kernel| kernel.contraction.as_ref());
    let products: usize = contractions
        .map(|contraction| contraction.products.len())
        .sum();
    text + &format!(
        "{} kernels, {products} contractions of {} operations, {} floats of working memory\n",
        plan.kernels.len(),
        plan.contraction_operations(),
        plan.arena
    )
}

fn print_kernel(plan: &Plan, kernel: &Kernel) -> String {
    let mut text = format!("{}\n", kernel.name);
    for origin in &kernel.origins {
        text += &format!("  // {origin}\n");
    }
    let mut part = |name: &str, loops: &[Loop]| {
        for nest in loops {
            text += &format!("  {name} {}\n", print_loop(plan, nest));
        }
    };
    part("once", &kernel.setup);
    part("before", &kernel.prologue);
    if let Some(contraction) = &kernel.contraction {
        text += &format!("  {}\n", print_contraction(plan, contraction));
    }
    let mut part = |name: &str, loops: &[Loop]| {
        for nest in loops {
            text += &format!("  {name} {}\n", print_loop(plan, nest));
        }
    };
    part("after", &kernel.epilogue);
    if let Some(tile) = kernel.tile {
        let axis = &plan.axes[tile.axis.index()].name;
        text += &format!("  in {} tiles of {} along {axis}\n", tile.count, tile.size);
    }
    text
}

fn name(plan: &Plan, buffer: Id<super::Buffer>) -> &str {
    &plan.buffer(buffer).name
}

fn print_contraction(plan: &Plan, contraction: &Contraction) -> String {
    let matrix = |matrix: &Matrix| name(plan, matrix.buffer).to_string();
    let products: Vec<String> = contraction
        .products
        .iter()
        .map(|product| {
            let through = |left: bool, name: String| match &product.windows {
                Some(windows) if windows.left == left => format!("windows of {name}"),
                _ => name,
            };
            let (left, right) = (
                through(true, matrix(&product.left)),
                through(false, matrix(&product.right)),
            );
            format!("{left} · {right} over {}", product.k)
        })
        .collect();
    let (m, n) = (contraction.m, contraction.n);
    format!(
        "{}[{m}, {n}] = {}",
        matrix(&contraction.out),
        products.join(" + ")
    )
}

fn print_loop(plan: &Plan, nest: &Loop) -> String {
    let axes = nest
        .axes
        .iter()
        .zip(&nest.sizes)
        .map(|(axis, size)| format!("{}:{size}", plan.axes[axis.index()].name));
    let axes: Vec<String> = axes.collect();
    let place = |access: &Access| {
        let windows = if access.spans.is_empty() {
            ""
        } else {
            " through windows"
        };
        format!("{}{windows}", name(plan, access.buffer))
    };
    let mut steps = Vec::new();
    for (number, instruction) in nest.instructions.iter().enumerate() {
        steps.push(match instruction {
            Instruction::Constant(value) => format!("r{number} = {value}"),
            Instruction::Position(axis) => format!("r{number} = position {axis}"),
            Instruction::Load(access) => format!("r{number} = {}", place(access)),
            Instruction::Noise { kind, .. } => format!("r{number} = noise {kind:?}"),
            Instruction::Scalar(scalar, operands) => {
                let operands: Vec<String> = operands
                    .iter()
                    .map(|operand| format!("r{operand}"))
                    .collect();
                format!("r{number} = {}({})", scalar.row().name, operands.join(", "))
            }
            Instruction::OneHot(value, axis) => format!("r{number} = r{value} is position {axis}"),
            Instruction::Store(value, access) => format!("{} = r{value}", place(access)),
            Instruction::Reduce {
                kind,
                value,
                access,
            } => {
                let each = if access.partial > 0 { " by tile" } else { "" };
                format!("{} = {kind:?} r{value}{each}", place(access)).to_string()
            }
        });
    }
    format!("[{}] {}", axes.join(", "), steps.join("; "))
}
