//! A picture in memory.

use std::io;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// Pixels in rows from the top, each of them red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Three bytes a pixel.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn new(width: u32, height: u32, colour: Colour) -> Self {
        Self { width, height, rgb: colour.repeat(width as usize * height as usize) }
    }

    /// A picture of these pixels; what is missing at its end is black, what is too much is left out.
    pub fn of(width: u32, height: u32, pixels: &[Colour]) -> Self {
        let mut rgb = pixels.as_flattened().to_vec();
        rgb.resize(width as usize * height as usize * 3, 0);
        Self { width, height, rgb }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// That of the encoder: a picture without pixels.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }

    /// Puts another picture, each of its pixels a square of `factor` by `factor`, with its corner at (x, y). What lies
    /// beyond the edge is left out.
    #[cfg(feature = "plots")]
    pub(super) fn put(&mut self, other: &Self, (x, y): (u32, u32), factor: u32) {
        let (width, own) = (self.width as usize, other.width as usize);
        let columns = (own * factor as usize).min(width.saturating_sub(x as usize));
        for row in 0..(other.height * factor).min(self.height.saturating_sub(y)) {
            let from = (row / factor) as usize * own;
            let to = (y + row) as usize * width + x as usize;
            for column in 0..columns {
                let at = (from + column / factor as usize) * 3;
                let pixel = &other.rgb[at..at + 3];
                self.rgb[(to + column) * 3..][..3].copy_from_slice(pixel);
            }
        }
    }

    /// The picture with squares of `factor` by `factor` pixels made one, their mean.
    #[cfg(feature = "plots")]
    pub(super) fn shrunk(&self, factor: u32) -> Self {
        let (width, height) = (self.width / factor, self.height / factor);
        let side = factor as usize;
        let row_bytes = self.width as usize * 3;
        let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
        for row in 0..height as usize {
            let lines = &self.rgb[row * side * row_bytes..][..side * row_bytes];
            for column in 0..width as usize {
                for channel in 0..3 {
                    let square = (0..side).flat_map(|down| {
                        let first = down * row_bytes + column * side * 3 + channel;
                        (0..side).map(move |right| u32::from(lines[first + right * 3]))
                    });
                    let sum: u32 = square.sum();
                    rgb.push(((sum + factor * factor / 2) / (factor * factor)) as u8);
                }
            }
        }
        Self { width, height, rgb }
    }
}
