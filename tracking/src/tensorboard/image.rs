//! PNG files as they stand in an event.

use std::fs;
use std::path::Path;

use super::EventFileError;
use super::proto::Image;

/// The whole file; size and colours are what its own header says.
pub(super) fn read(path: &Path) -> Result<Image, EventFileError> {
    let bytes = fs::read(path).map_err(|source| EventFileError::Read { path: path.to_owned(), source })?;
    let decoder = png::Decoder::new(std::io::Cursor::new(&bytes));
    let reader = decoder.read_info().map_err(|_| EventFileError::NotPng { path: path.to_owned() })?;
    let info = reader.info();
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let colorspace = match info.color_type {
        png::ColorType::Grayscale => 1,
        png::ColorType::GrayscaleAlpha => 2,
        png::ColorType::Rgb | png::ColorType::Indexed => 3,
        png::ColorType::Rgba => 4,
    };
    let (height, width) = (side(info.height), side(info.width));
    Ok(Image { height, width, colorspace, encoded_image_string: bytes })
}
