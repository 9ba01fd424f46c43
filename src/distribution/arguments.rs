//! Checks of constant arguments, shared by the distributions.

/// Checks that an argument is positive and finite.
pub fn positive(name: &str, value: f64) -> Result<(), String> {
    let fits = value > 0.0 && value.is_finite();
    if fits {
        Ok(())
    } else {
        Err(format!("`{name}` must be above 0, found {value}"))
    }
}

/// Checks that an argument is between 0 and 1, both excluded.
pub fn within_unit(name: &str, value: f64) -> Result<(), String> {
    let fits = value > 0.0 && value < 1.0;
    if fits {
        Ok(())
    } else {
        Err(format!("`{name}` must be between 0 and 1, found {value}"))
    }
}
