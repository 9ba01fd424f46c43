//! Drawn samples as a PNG picture: a grid of grey images.

use super::run::DrawnSamples;
use crate::{
    error::{Error, Result},
    model::Variable,
};

/// The height and width of a variable's image.
fn shape(variable: &Variable) -> Result<(usize, usize)> {
    match variable.shape.as_slice() {
        [height, width] => Ok((*height, *width)),
        [channels, height, width] if *channels > 1 => {
            let message = format!(
                "`{}`: expected an image with one channel, found {channels} channels of {height} × {width}",
                variable.name
            );
            Err(Error::unsupported(message).help("only images with one channel can be drawn"))
        }
        _ => {
            let side = variable.size().isqrt();
            if side * side == variable.size() {
                return Ok((side, side));
            }
            let message = format!(
                "`{}`: expected an image, found {} features, which is not a square number",
                variable.name,
                variable.size()
            );
            Err(Error::unsupported(message).help(format!(
                "declare its shape: `{}: binary[HEIGHT, WIDTH]`",
                variable.name
            )))
        }
    }
}

impl DrawnSamples {
    /// The samples as a PNG picture with a column for each class, and for an analogy a first column
    /// with the original rows. The model must generate one variable, an image with one channel.
    ///
    /// # Errors
    /// If the model's data are not an image with one channel.
    pub fn png(&self) -> Result<Vec<u8>> {
        let [drawn] = self.drawn.as_slice() else {
            return Err(Error::unsupported(
                "a picture needs a model with exactly one data variable",
            )
            .help("use a model of one image, or write latent variables with `Run::encode`"));
        };
        let shape = shape(&drawn.variable)
            .map_err(|error| error.also_help("or write latent variables with `Run::encode`"))?;
        let size = drawn.variable.size();
        let mut images = Vec::new();
        for line in 0..self.lines {
            let original = drawn.originals.chunks(size).nth(line);
            images.extend(original.map(<[f32]>::to_vec));
            let columns = line * self.columns..(line + 1) * self.columns;
            images.extend(columns.map(|at| drawn.means[at * size..(at + 1) * size].to_vec()));
        }
        png(&images, self.across(), shape)
    }

    /// The number of images in a row of the picture.
    pub fn across(&self) -> usize {
        let has_originals = self.drawn.iter().any(|drawn| !drawn.originals.is_empty());
        self.columns + usize::from(has_originals)
    }
}

#[cfg(not(feature = "png"))]
fn png(_images: &[Vec<f32>], _across: usize, _shape: (usize, usize)) -> Result<Vec<u8>> {
    Err(
        Error::unsupported("this build of dgc cannot write PNG files")
            .help("build dgc with the feature `png`"),
    )
}

/// A PNG file with images in a grid of `across` columns, one pixel apart; grey values are from 0 to
/// 1.
#[cfg(feature = "png")]
fn png(images: &[Vec<f32>], across: usize, (height, width): (usize, usize)) -> Result<Vec<u8>> {
    let down = images.len().div_ceil(across);
    let (total_height, total_width) = (down * (height + 1) + 1, across * (width + 1) + 1);
    let mut pixels = vec![64u8; total_height * total_width];
    for (number, image) in images.iter().enumerate() {
        let (top, left) = (
            (number / across) * (height + 1) + 1,
            (number % across) * (width + 1) + 1,
        );
        for (index, grey) in image.iter().enumerate() {
            let (row, column) = (index / width, index % width);
            pixels[(top + row) * total_width + left + column] =
                (grey.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
    let failed =
        |error: png::EncodingError| Error::data(format!("the picture cannot be encoded: {error}"));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, total_width as u32, total_height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(failed)?;
    Ok(file)
}
