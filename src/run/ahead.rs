//! Reading rows ahead: a thread reads the rows of the next step from a file while a step computes.
//!
//! The thread reads only what is requested, so the numbers of a step do not depend on it.

use super::data::Source;
use crate::error::Result;
use std::{
    panic,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

/// The numbers of some fields for the rows of a step.
#[derive(Default)]
pub struct StepRows {
    /// The fields, in the order of the step's inputs.
    pub parts: Vec<FieldRows>,
}

/// The numbers of a field for some rows.
#[derive(Default)]
pub struct FieldRows {
    /// The index of the field.
    pub field: usize,
    /// The rows.
    pub rows: Vec<u32>,
    /// The field's numbers, row after row.
    pub numbers: Vec<f32>,
}

/// Rows that were read, and whether that succeeded.
type Outcome = (StepRows, Result<()>);

/// A thread that reads batches of a source.
pub struct Ahead {
    /// Both ends are taken when the thread is to end.
    channels: Option<(Sender<StepRows>, Receiver<Outcome>)>,
    thread: Option<JoinHandle<()>>,
    /// The step that the thread reads or has read.
    pending: Option<u64>,
    /// A batch whose memory can be used again.
    spare: StepRows,
}

impl Ahead {
    /// Starts a thread.
    pub fn new(source: Arc<dyn Source>) -> Self {
        let (requests, requested) = channel::<StepRows>();
        let (results, done) = channel();
        let read = move || {
            while let Ok(mut batch) = requested.recv() {
                let result = batch.parts.iter_mut().try_for_each(|part| {
                    let width = source.field(part.field).width;
                    part.numbers.resize(part.rows.len() * width, 0.0);
                    source.read(part.field, &part.rows, &mut part.numbers)
                });
                if results.send((batch, result)).is_err() {
                    return;
                }
            }
        };
        Ahead {
            channels: Some((requests, done)),
            thread: Some(std::thread::spawn(read)),
            pending: None,
            spare: StepRows::default(),
        }
    }

    /// Whether the rows of a step are being read.
    pub fn is_pending(&self, step: u64) -> bool {
        self.pending == Some(step)
    }

    /// Starts to read the rows of a step. `parts` writes the fields and rows of its parts.
    pub fn request(&mut self, step: u64, parts: &mut dyn FnMut(&mut Vec<FieldRows>)) {
        if self.pending.is_some() {
            // The rows of a step that will not be taken, since the run was restored.
            let _ = self.receive();
        }
        let mut batch = std::mem::take(&mut self.spare);
        parts(&mut batch.parts);
        if let Some((requests, _)) = &self.channels {
            // A thread that ended is noticed when its result is missing.
            let _ = requests.send(batch);
        }
        self.pending = Some(step);
    }

    /// Waits for the rows of the step that was requested.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn receive(&mut self) -> Result<&StepRows> {
        self.pending = None;
        let received = self.channels.as_ref().map(|(_, done)| done.recv());
        let Some(Ok((batch, result))) = received else {
            self.end();
            unreachable!("the thread ends early only with a panic");
        };
        self.spare = batch;
        result.map(|()| &self.spare)
    }

    /// Ends the thread; passes its panic on.
    fn end(&mut self) {
        self.channels = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            panic::resume_unwind(panic);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.channels = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been passed on, or nobody waits for its rows.
            let _ = thread.join();
        }
    }
}
