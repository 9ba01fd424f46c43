//! PNG and JPEG images, grey or in colour, as bytes: channel after channel, each row by row.

use crate::{
    error::{Error, Result},
    files,
};
use png::{ColorType, Transformations};
use std::{fmt, io::Cursor, path::Path};
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The most bytes of an image.
const MOST_BYTES: usize = 1 << 28;

/// The sizes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// The number of rows.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
}

impl ImageSize {
    /// The number of bytes.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// For example `28 · 28, grey`: the height and the width.
impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.channels == 1 {
            "grey"
        } else {
            "in colour"
        };
        write!(f, "{} · {}, {kind}", self.height, self.width)
    }
}

/// A decoded image.
pub struct DecodedImage {
    /// Its sizes.
    pub size: ImageSize,
    /// Its pixels, with the axes channel, row, column.
    pub pixels: Vec<u8>,
}

/// Whether a file is an image by its name.
pub fn is_image(path: &Path) -> bool {
    has_ending(path, &["png", "jpg", "jpeg"])
}

/// Whether a file is an image in a format that cannot be read, by its name.
pub fn is_other_image(path: &Path) -> bool {
    let endings = [
        "bmp", "gif", "tif", "tiff", "webp", "avif", "heic", "jp2", "ppm", "pgm",
    ];
    has_ending(path, &endings)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// Checks the sizes of an image before its pixels are decoded.
type Check<'c> = &'c dyn Fn(ImageSize) -> Result<()>;

/// Reads a PNG or JPEG file, whichever its first bytes say. `check` gets its sizes before its pixels are
/// decoded.
///
/// # Errors
/// If the file cannot be read, is no image, or has transparent pixels; and the error of `check`.
pub fn read(path: &Path, check: Check) -> Result<DecodedImage> {
    let bytes = files::read(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    match bytes.starts_with(b"\x89PNG") {
        true => png(path, &bytes, check),
        false => jpeg(path, bytes, check),
    }
}

fn broken(path: &Path, kind: &str, error: impl ToString) -> Error {
    Error::file(path, &format!("not a valid {kind} file"), error.to_string())
        .help("the file may be truncated or have another format; images are PNG or JPEG files")
}

/// Checks the sizes of an image.
fn check_size(path: &Path, size: ImageSize, check: Check) -> Result<()> {
    let sizes = [size.channels, size.height, size.width];
    let bytes = sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size));
    if bytes.is_none_or(|bytes| bytes == 0 || bytes > MOST_BYTES) {
        let message = format!("{}: an image of {size}", path.display());
        return Err(Error::unsupported(message).help("scale the image to another size"));
    }
    check(size)
}

fn png(path: &Path, bytes: &[u8], check: Check) -> Result<DecodedImage> {
    let broken = |error: png::DecodingError| broken(path, "PNG", error);
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Palettes become colours, and 16 bits become 8.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    let (channels, has_alpha) = match reader.output_color_type().0 {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (1, true),
        ColorType::Rgba => (3, true),
        ColorType::Rgb | ColorType::Indexed => (3, false),
    };
    let size = ImageSize {
        channels,
        height: reader.info().height as usize,
        width: reader.info().width as usize,
    };
    check_size(path, size, check)?;
    let stride = channels + usize::from(has_alpha);
    let mut pixels = vec![0; size.height * size.width * stride];
    reader.next_frame(&mut pixels).map_err(broken)?;
    if has_alpha
        && pixels
            .chunks_exact(stride)
            .any(|pixel| pixel[channels] != 255)
    {
        let message = format!("{}: the image has transparent pixels", path.display());
        return Err(Error::data(message).help("save it without an alpha channel"));
    }
    Ok(DecodedImage {
        size,
        pixels: by_channel(&pixels, channels, stride),
    })
}

fn jpeg(path: &Path, bytes: Vec<u8>, check: Check) -> Result<DecodedImage> {
    let broken = |error: DecodeErrors| broken(path, "JPEG", error);
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
    decoder.decode_headers().map_err(broken)?;
    let (channels, colours) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
        other => {
            let found = other.map_or("none".to_string(), |other| format!("{other:?}"));
            let place = path.display();
            let message =
                format!("{place}: expected an image that is grey or in colour, found {found}");
            return Err(Error::unsupported(message).help("save it as a PNG file"));
        }
    };
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let size = ImageSize {
        channels,
        height,
        width,
    };
    check_size(path, size, check)?;
    decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(broken)?;
    if pixels.len() != size.bytes() {
        return Err(broken(DecodeErrors::FormatStatic("it has too few pixels")));
    }
    Ok(DecodedImage {
        size,
        pixels: by_channel(&pixels, channels, channels),
    })
}

/// Pixels whose channels stand side by side, every `stride` bytes, channel after channel.
fn by_channel(pixels: &[u8], channels: usize, stride: usize) -> Vec<u8> {
    let channel = |channel| pixels.iter().skip(channel).step_by(stride).copied();
    (0..channels).flat_map(channel).collect()
}
