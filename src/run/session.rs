//! Parameters on a device, and the programs that share them.

use super::data::Source;
use crate::{
    backend::{self, Array, ArrayRange, Backend, Build, Device, NoiseKey, Program, Spent},
    error::{Error, Result},
    id::Id,
    names::ParameterGroup,
    plan,
    tensor::{Axis, Parameter},
};
use std::{borrow::Cow, collections::BTreeMap, ops::Range};

/// The places of parameters in a flat array: weights first, then the other trained parameters, then
/// running averages.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The entries, in the order of their offsets.
    pub entries: Vec<Entry>,
    /// The number of floats in weights, to which priors and decay apply.
    pub weights: usize,
    /// The number of floats in trained parameters.
    pub trained: usize,
    /// The number of floats in all parameters.
    pub total: usize,
}

/// A parameter and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The parameter.
    pub parameter: Parameter,
    /// The sizes of its axes, in PyTorch's order.
    pub shape: Vec<usize>,
    /// The index of its first float.
    pub offset: usize,
}

impl Entry {
    /// The number of floats; the largest number if it is larger.
    pub fn len(&self) -> usize {
        self.shape.iter().copied().fold(1, usize::saturating_mul)
    }

    /// The number of floats that it takes: a multiple of four, for vector loads. The padding stays
    /// 0.
    fn place(&self) -> usize {
        self.len().checked_next_multiple_of(4).unwrap_or(usize::MAX)
    }

    /// Whether it has no floats.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Layout {
    /// The layout of parameters over these axes.
    pub fn new(parameters: &[Parameter], axes: &[Axis]) -> Self {
        let rank = |parameter: &Parameter| match (parameter.trained, parameter.is_weight()) {
            (true, true) => 0,
            (true, false) => 1,
            _ => 2,
        };
        let mut parameters = parameters.to_vec();
        parameters.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
        let mut layout = Layout {
            entries: Vec::new(),
            weights: 0,
            trained: 0,
            total: 0,
        };
        for parameter in parameters {
            let shape: Vec<usize> = parameter
                .axes
                .iter()
                .map(|axis| axes[axis.index()].size)
                .collect();
            let rank = rank(&parameter);
            let entry = Entry {
                parameter,
                shape,
                offset: layout.total,
            };
            // A total that does not fit memory is an error of the device that allocates it.
            layout.total = layout.total.saturating_add(entry.place());
            layout.weights = if rank == 0 {
                layout.total
            } else {
                layout.weights
            };
            layout.trained = if rank <= 1 {
                layout.total
            } else {
                layout.trained
            };
            layout.entries.push(entry);
        }
        layout
    }

    /// The floats of a group of parameters.
    pub fn range(&self, group: ParameterGroup) -> Range<usize> {
        match group {
            ParameterGroup::Weights => 0..self.weights,
            ParameterGroup::Others => self.weights..self.trained,
            ParameterGroup::Untrained => self.trained..self.total,
        }
    }

    /// Appends the parameters of `other` that this layout lacks.
    pub fn with(mut self, other: &Layout) -> Self {
        for entry in &other.entries {
            if self.find(&entry.parameter.name).is_none() {
                self.entries.push(Entry {
                    offset: self.total,
                    ..entry.clone()
                });
                self.total = self.total.saturating_add(entry.place());
            }
        }
        self
    }

    /// The entry of a parameter's name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.parameter.name == name)
    }
}

/// A device with the parameters of a model.
pub struct Session {
    /// The device.
    pub device: Box<dyn Backend>,
    /// The layout of the parameters.
    pub layout: Layout,
    /// All parameters.
    pub parameters: Id<Array>,
    /// Their average in the same layout, if training keeps one.
    pub average: Option<Id<Array>>,
    /// The gradients of the trained parameters, in the same layout.
    pub gradients: Id<Array>,
}

/// A program with the arrays of its inputs and outputs. The two have names of their own: the
/// input `labelled.per_row` holds a variable `per_row`, the output of that name a bound.
pub struct Loaded {
    program: Id<Program>,
    inputs: Arrays,
    /// The outputs that are not scalars.
    outputs: Arrays,
    /// The array of all scalar outputs, and their names in order.
    numbers: (Id<Array>, Vec<String>),
}

/// Arrays and their lengths, by name.
type Arrays = BTreeMap<String, (Id<Array>, usize)>;

impl Session {
    /// Opens a device with all parameters set to 0.
    ///
    /// # Errors
    /// If the device is not available, or lacks memory.
    pub fn new(layout: Layout, device: &Device) -> Result<Self> {
        let mut device = backend::open(device)?;
        let parameters = device.allocate(layout.total)?;
        let gradients = device.allocate(layout.trained)?;
        Ok(Session {
            device,
            layout,
            parameters,
            average: None,
            gradients,
        })
    }

    /// The parameters with which the model is evaluated: their average, if training keeps one.
    pub fn evaluated(&self) -> Id<Array> {
        self.average.unwrap_or(self.parameters)
    }

    /// The arrays with values of all parameters: the parameters, and their average if there is one.
    pub fn parameter_arrays(&self) -> impl Iterator<Item = Id<Array>> + use<> {
        std::iter::once(self.parameters).chain(self.average)
    }

    /// Loads a program, which uses the session's parameters and gradients. `shared` gives the
    /// arrays of further buffers by name.
    ///
    /// # Errors
    /// If the device cannot load the program, or a parameter is missing.
    pub fn load(
        &mut self,
        build: &Build,
        shared: &dyn Fn(&plan::Buffer) -> Option<backend::ArrayRange>,
    ) -> Result<Loaded> {
        self.load_with(build, self.parameters, shared)
    }

    /// As [`Session::load`], with parameters from an array in the session's layout.
    ///
    /// # Errors
    /// If the device cannot load the program, or a parameter is missing.
    pub fn load_with(
        &mut self,
        build: &Build,
        parameters: Id<Array>,
        shared: &dyn Fn(&plan::Buffer) -> Option<backend::ArrayRange>,
    ) -> Result<Loaded> {
        let plan = &build.plan;
        let (mut inputs, mut outputs) = (Arrays::new(), Arrays::new());
        let is_number = |buffer: &plan::Buffer| {
            matches!(buffer.storage, plan::Storage::Output) && buffer.axes.is_empty()
        };
        let numbers: Vec<String> = plan
            .buffers
            .iter()
            .filter(|buffer| is_number(buffer))
            .map(|buffer| buffer.name.clone())
            .collect();
        let number_array = self.device.allocate(numbers.len())?;
        let mut places = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            let parameter = |index: usize| {
                let name = &plan.parameters[index].name;
                let entry = self.layout.find(name).ok_or_else(|| {
                    Error::new(format!(
                        "expected a parameter `{name}` in the session, found none"
                    ))
                    .help("the program and the session belong to different models")
                })?;
                Ok(entry.offset)
            };
            places.push(match (shared(buffer), &buffer.storage) {
                (Some(place), _) => Some(place),
                (None, plan::Storage::Arena(_)) => None,
                (None, plan::Storage::Parameter(index)) => Some(ArrayRange {
                    array: parameters,
                    offset: parameter(*index)?,
                }),
                (None, plan::Storage::Gradient(index)) => Some(ArrayRange {
                    array: self.gradients,
                    offset: parameter(*index)?,
                }),
                (None, _) if is_number(buffer) => {
                    let offset = numbers
                        .iter()
                        .position(|name| *name == buffer.name)
                        .expect("it is a number");
                    Some(ArrayRange {
                        array: number_array,
                        offset,
                    })
                }
                (None, storage @ (plan::Storage::Input | plan::Storage::Output)) => {
                    let array = self.device.allocate(buffer.len)?;
                    let arrays = match storage {
                        plan::Storage::Input => &mut inputs,
                        _ => &mut outputs,
                    };
                    arrays.insert(buffer.name.clone(), (array, buffer.len));
                    Some(ArrayRange { array, offset: 0 })
                }
            });
        }
        Ok(Loaded {
            program: self.device.load(build, &places)?,
            inputs,
            outputs,
            numbers: (number_array, numbers),
        })
    }

    /// Runs a program.
    pub fn run(&mut self, loaded: &Loaded, key: NoiseKey) -> Result<()> {
        self.device.run(loaded.program, key)
    }

    /// The time that each kernel of a program took.
    pub fn spent(&self, loaded: &Loaded) -> Vec<Spent> {
        self.device.spent(loaded.program)
    }

    /// Starts to copy the current scalar outputs of a program, in its order, to the host.
    /// [`Self::poll_readback`] returns them.
    pub fn enqueue_readback(&mut self, loaded: &Loaded) -> Result<()> {
        self.device
            .enqueue_readback(loaded.numbers.0, loaded.numbers.1.len())
    }

    /// Passes the oldest enqueued outputs to `take`. Returns false if none are enqueued, or if they
    /// have not arrived and `wait` is false.
    pub fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        self.device.poll_readback(wait, take)
    }

    /// The array of an input, if the program has it.
    pub fn array(&self, loaded: &Loaded, name: &str) -> Option<Id<Array>> {
        loaded.inputs.get(name).map(|(array, _)| *array)
    }

    /// The number of floats of an input, if the program has it.
    pub fn len(&self, loaded: &Loaded, name: &str) -> Option<usize> {
        loaded.inputs.get(name).map(|(_, len)| *len)
    }

    /// The floats of an output, if the program has it.
    pub fn read(&self, loaded: &Loaded, name: &str) -> Result<Option<Cow<'_, [f32]>>> {
        if let Some(at) = loaded.numbers.1.iter().position(|number| number == name) {
            return self.device.read(loaded.numbers.0, at, 1).map(Some);
        }
        loaded
            .outputs
            .get(name)
            .map(|(array, len)| self.device.read(*array, 0, *len))
            .transpose()
    }

    /// Sets the floats of an input with `write`, if the program has the input.
    pub fn fill(
        &mut self,
        loaded: &Loaded,
        name: &str,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        match loaded.inputs.get(name) {
            Some((array, len)) => self.device.fill(*array, 0, *len, write),
            None => Ok(()),
        }
    }

    /// Fills an input with rows of a source's field.
    ///
    /// # Errors
    /// If the rows cannot be read, or the device fails.
    pub fn fill_from(
        &mut self,
        loaded: &Loaded,
        name: &str,
        source: &dyn Source,
        field: usize,
        rows: &[u32],
    ) -> Result<()> {
        let mut done = Ok(());
        self.fill(loaded, name, &mut |floats| {
            done = source.read(field, rows, floats)
        })?;
        done
    }

    /// The values of a parameter.
    pub fn parameter(&self, entry: &Entry) -> Result<Cow<'_, [f32]>> {
        self.device.read(self.parameters, entry.offset, entry.len())
    }

    /// The gradient of a trained parameter after a step.
    pub fn gradient(&self, entry: &Entry) -> Result<Cow<'_, [f32]>> {
        self.device.read(self.gradients, entry.offset, entry.len())
    }

    /// Sets the floats of a parameter, or of an array in the same layout.
    pub fn set(&mut self, array: Id<Array>, entry: &Entry, values: &[f64]) -> Result<()> {
        self.device
            .fill(array, entry.offset, entry.len(), &mut |floats| {
                floats
                    .iter_mut()
                    .zip(values)
                    .for_each(|(to, from)| *to = *from as f32);
            })
    }
}

impl Loaded {
    /// The names of inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(String::as_str)
    }

    /// The names of the scalar outputs.
    pub fn numbers(&self) -> &[String] {
        &self.numbers.1
    }
}
