//! Ctrl-C: ends the program with code 130, or stops training after the current step.

use crate::{Cancel, ErrorKind};
use std::sync::{Mutex, PoisonError};

/// The flag of the training that is to stop; `None` outside training.
static TRAINING: Mutex<Option<Cancel>> = Mutex::new(None);

/// Handles Ctrl-C from now on. Outside training, it ends the program.
pub fn install() {
    // If the handler cannot be set, Ctrl-C ends the program and the last checkpoint stays.
    let _ = ctrlc::set_handler(|| {
        let training = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
        let stops = training.as_ref().is_some_and(|cancel| !cancel.raise());
        if !stops {
            std::process::exit(ErrorKind::Interrupted.exit_code().into());
        }
    });
}

/// Makes the first Ctrl-C raise a flag, which stops training after the current step. A second one
/// ends the program.
pub fn raise(cancel: Cancel) {
    *TRAINING.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel);
}
