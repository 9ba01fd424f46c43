//! Drawn samples as a PNG picture: a grid of images, grey or in colour.

use super::{results::ResultTable, sample::DrawnSamples};
use crate::{
    error::{Error, Result},
    model::Variable,
};

/// The size of a variable's image.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "png"), allow(dead_code, reason = "no picture"))]
struct Shape {
    /// 1 for grey, 3 for red, green and blue.
    channels: usize,
    height: usize,
    width: usize,
}

/// The image of a variable: with two sizes, height and width; with three, the first is the number of
/// channels; else a square of grey pixels.
fn shape(variable: &Variable) -> Result<Shape> {
    let (channels, height, width) = match variable.shape.as_slice() {
        [height, width] => (1, *height, *width),
        [channels @ (1 | 3), height, width] => (*channels, *height, *width),
        [channels, height, width] => {
            let message = format!(
                "`{}`: expected an image with one channel or three, found {channels} channels of \
                 {height} × {width}",
                variable.name
            );
            return Err(Error::unsupported(message).help("pictures are grey or have three colours"));
        }
        _ => {
            let side = variable.size().isqrt();
            if side * side != variable.size() {
                let message = format!(
                    "`{}`: expected an image, found {} features, which is not a square number",
                    variable.name,
                    variable.size()
                );
                return Err(Error::unsupported(message).help(format!(
                    "declare its shape: `{}: binary[HEIGHT, WIDTH]`",
                    variable.name
                )));
            }
            (1, side, side)
        }
    };
    Ok(Shape {
        channels,
        height,
        width,
    })
}

impl DrawnSamples {
    /// The samples as a PNG picture with a column for each class, and for an analogy a first column
    /// with the original rows. The model must generate one variable, an image with one channel, or with three for
    /// red, green and blue.
    ///
    /// # Errors
    /// If the model's data are not such an image.
    pub fn png(&self) -> Result<Vec<u8>> {
        let [drawn] = self.drawn.as_slice() else {
            return Err(Error::unsupported(
                "a picture needs a model with exactly one data variable",
            )
            .help("write the samples of all variables as a table: NAME.npz or NAME.csv"));
        };
        let shape = shape(&drawn.variable)
            .map_err(|error| error.also_help("or write a table: NAME.npz or NAME.csv"))?;
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

    /// The samples as a table: a row for each line and column, with the classes and the means of every
    /// data variable.
    pub fn table(&self) -> ResultTable {
        let mut table = ResultTable::numbered(self.lines * self.columns);
        for drawn in &self.classes {
            table.add_classes(&drawn.name, drawn.classes.clone(), drawn.names.clone());
        }
        for drawn in &self.drawn {
            table.add_numbers(&drawn.name, drawn.columns.clone(), drawn.means.clone());
        }
        table
    }

    /// The number of images in a row of the picture.
    pub fn across(&self) -> usize {
        let has_originals = self.drawn.iter().any(|drawn| !drawn.originals.is_empty());
        self.columns + usize::from(has_originals)
    }
}

#[cfg(not(feature = "png"))]
fn png(_images: &[Vec<f32>], _across: usize, _shape: Shape) -> Result<Vec<u8>> {
    Err(
        Error::unsupported("this build of dgc cannot write PNG files")
            .help("build dgc with the feature `png`"),
    )
}

/// A PNG file with images in a grid of `across` columns, one pixel apart; values are from 0 to 1.
/// An image has axes channel, height, width.
#[cfg(feature = "png")]
fn png(images: &[Vec<f32>], across: usize, shape: Shape) -> Result<Vec<u8>> {
    let Shape {
        channels,
        height,
        width,
    } = shape;
    let down = images.len().div_ceil(across);
    let (total_height, total_width) = (down * (height + 1) + 1, across * (width + 1) + 1);
    let mut pixels = vec![64u8; total_height * total_width * channels];
    for (number, image) in images.iter().enumerate() {
        let (top, left) = (
            (number / across) * (height + 1) + 1,
            (number % across) * (width + 1) + 1,
        );
        for (index, value) in image.iter().enumerate() {
            let (channel, place) = (index / (height * width), index % (height * width));
            let (row, column) = (place / width, place % width);
            let pixel = (top + row) * total_width + left + column;
            pixels[pixel * channels + channel] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
    let failed =
        |error: png::EncodingError| Error::data(format!("the picture cannot be encoded: {error}"));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, total_width as u32, total_height as u32);
    encoder.set_color(match channels {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(failed)?;
    Ok(file)
}
