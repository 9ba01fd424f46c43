//! Parameters on a device, and the programs that share them.

use crate::{
    backend::{self, Array, Backend, NoiseKey, Place, Program, cpu::Cpu},
    id::Id,
    plan::{self, Plan},
    tensor::{Graph, Parameter},
};
use std::collections::BTreeMap;

/// Where each parameter lies in one flat array: weights first, then the other trained ones, then running averages.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub entries: Vec<Entry>,
    /// Floats of weights, which priors and decay apply to.
    pub weights: usize,
    /// Floats of trained parameters.
    pub trained: usize,
    pub total: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub parameter: Parameter,
    /// In PyTorch's order.
    pub shape: Vec<usize>,
    pub offset: usize,
}

impl Entry {
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Layout {
    pub fn new(graph: &Graph) -> Self {
        let rank = |parameter: &Parameter| match (parameter.trained, parameter.is_weight()) {
            (true, true) => 0,
            (true, false) => 1,
            _ => 2,
        };
        let mut parameters = graph.parameters.clone();
        parameters.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
        let mut layout = Layout { entries: Vec::new(), weights: 0, trained: 0, total: 0 };
        for parameter in parameters {
            let shape: Vec<usize> = parameter.axes.iter().map(|&axis| graph.axis(axis).size).collect();
            let rank = rank(&parameter);
            let entry = Entry { parameter, shape, offset: layout.total };
            layout.total += entry.len();
            layout.weights = if rank == 0 { layout.total } else { layout.weights };
            layout.trained = if rank <= 1 { layout.total } else { layout.trained };
            layout.entries.push(entry);
        }
        layout
    }

    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.parameter.name == name)
    }
}

/// A device with the parameters of a model.
pub struct Session {
    pub device: Cpu,
    pub layout: Layout,
    pub parameters: Id<Array>,
    pub gradients: Id<Array>,
}

/// A program with the arrays of its inputs and outputs.
pub struct Loaded {
    program: Id<Program>,
    arrays: BTreeMap<String, (Id<Array>, usize)>,
}

impl Session {
    /// Parameters of 0, and as many threads as asked for; 0 is as many as there are cores.
    pub fn new(layout: Layout, threads: usize) -> Self {
        let mut device = Cpu::new(threads);
        let parameters = device.allocate(layout.total);
        let gradients = device.allocate(layout.trained);
        Session { device, layout, parameters, gradients }
    }

    /// A program whose parameters and gradients are the session's; `shared` places further buffers by name.
    pub fn load(
        &mut self,
        plan: &Plan,
        graph: &Graph,
        shared: &dyn Fn(&plan::Buffer) -> Option<backend::Place>,
    ) -> Loaded {
        let (layout, parameters, gradients) = (&self.layout, self.parameters, self.gradients);
        let mut arrays = BTreeMap::new();
        let offset = |index: usize| {
            let name = &graph.parameters[index].name;
            layout.find(name).unwrap_or_else(|| panic!("`{name}` is a parameter of the session")).offset
        };
        let program = self.device.load(plan, &mut |device, buffer| match (shared(buffer), &buffer.place) {
            (Some(place), _) => place,
            (None, plan::Place::Parameter(index)) => Place { array: parameters, offset: offset(*index) },
            (None, plan::Place::Gradient(index)) => Place { array: gradients, offset: offset(*index) },
            (None, _) => {
                let array = device.allocate(buffer.len);
                arrays.insert(buffer.name.clone(), (array, buffer.len));
                Place { array, offset: 0 }
            }
        });
        Loaded { program, arrays }
    }

    pub fn run(&mut self, loaded: &Loaded, key: NoiseKey) {
        self.device.run(loaded.program, key);
    }

    /// Where the time of a program went, kernel by kernel.
    pub fn spent(&self, loaded: &Loaded) -> Vec<crate::backend::cpu::Spent> {
        self.device.spent(loaded.program)
    }

    /// The floats of an input or output, or none if the program has no such.
    pub fn array(&self, loaded: &Loaded, name: &str) -> Option<&[f32]> {
        loaded.arrays.get(name).map(|(array, len)| &self.device.floats(*array)[..*len])
    }

    pub fn array_mut(&mut self, loaded: &Loaded, name: &str) -> Option<&mut [f32]> {
        let (array, len) = loaded.arrays.get(name)?;
        Some(&mut self.device.floats_mut(*array)[..*len])
    }

    /// The values of a parameter.
    pub fn parameter(&self, entry: &Entry) -> &[f32] {
        &self.device.floats(self.parameters)[entry.offset..entry.offset + entry.len()]
    }

    /// The gradient of a trained parameter after a step.
    pub fn gradient(&self, entry: &Entry) -> &[f32] {
        &self.device.floats(self.gradients)[entry.offset..entry.offset + entry.len()]
    }
}

impl Loaded {
    /// The names of inputs and outputs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }
}
