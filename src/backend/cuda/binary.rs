//! Programs that were compiled ahead of time: machine code for some architectures.

use crate::backend::Precision;

/// Machine code of a program for some architectures. It is trusted; launches and working memory
/// follow from the verified plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The precision of contractions.
    pub precision: Precision,
    /// Images by architecture: `sm_90` for machine code, `compute_80` for PTX, which a driver
    /// compiles.
    pub images: Vec<(String, Vec<u8>)>,
}

impl Binary {
    /// The best image for a GPU: machine code for the GPU or an earlier GPU of its generation, else
    /// PTX for an earlier GPU.
    #[cfg(feature = "cuda")]
    pub(super) fn image(&self, arch: &str) -> Option<&[u8]> {
        let wanted = number(arch)?;
        let fits =
            |number: u32, is_ptx: bool| number <= wanted && (is_ptx || number / 10 == wanted / 10);
        let candidates = self.images.iter().filter_map(|(name, code)| {
            let (number, is_ptx) = (number(name)?, name.starts_with("compute_"));
            fits(number, is_ptx).then_some(((!is_ptx, number), code))
        });
        candidates
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, code)| code.as_slice())
    }
}

/// The number of an architecture: 90 for `sm_90` and `compute_90`.
#[cfg(feature = "cuda")]
fn number(arch: &str) -> Option<u32> {
    arch.rsplit('_').next()?.parse().ok()
}
