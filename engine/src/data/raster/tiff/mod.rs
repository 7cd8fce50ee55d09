//! GeoTIFF: any byte order, classic or BigTIFF, tiles or strips, bands together or apart; a writer of tiles.
//!
//! The container and the order of pixels are read here, compression by the crates flate2 and weezl. The crate `tiff` 0.11 is
//! what tests compare with, and not what reads, for three reasons: of an RGB image with further bands it gives the
//! first three alone; it takes memory by counts that stand in the file; and it opens no file of more than some ten
//! thousand strips under a bound on memory.

mod codec;
mod directory;
mod layout;
mod rows;
mod write;

use std::path::Path;
use std::sync::Arc;

use super::error::RasterError;
use super::geo::{Georeference, tags};
use directory::{Directory, Source};
use layout::Layout;
pub(super) use rows::TiffRows;
pub use write::{TiffImage, TiffValue, TiffWriter};

/// GDAL's tag for the value that means "no data".
const NODATA: u16 = 42113;
/// GDAL's tag for names of bands, among others.
const METADATA: u16 = 42112;

/// An open GeoTIFF.
#[derive(Debug)]
pub(super) struct Tiff {
    directory: Directory,
    layout: Arc<Layout>,
    pub(super) nodata: Option<f64>,
    pub(super) georeference: Option<Georeference>,
    pub(super) band_names: Option<Vec<String>>,
}

impl Tiff {
    pub(super) fn open(path: &Path) -> Result<Self, RasterError> {
        let directory = Directory::read(Source::open(path)?)?;
        let layout = Arc::new(Layout::read(&directory)?);
        let nodata = directory.text(NODATA)?.and_then(|text| {
            let text = String::from_utf8_lossy(&text);
            text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).parse().ok()
        });
        let keys = directory.numbers(tags::KEY_DIRECTORY);
        let georeference = Georeference {
            pixel_scale: directory.doubles(tags::PIXEL_SCALE)?,
            tie_points: directory.doubles(tags::TIE_POINTS)?,
            transformation: directory.doubles(tags::TRANSFORMATION)?,
            keys: keys?.map(|keys| keys.into_iter().map(|key| key as u16).collect()),
            doubles: directory.doubles(tags::DOUBLE_PARAMETERS)?,
            texts: directory.text(tags::TEXT_PARAMETERS)?,
        };
        let described = directory.text(METADATA)?.unwrap_or_default();
        let band_names = descriptions(&String::from_utf8_lossy(&described), layout.bands);
        let georeference = (!georeference.is_empty()).then_some(georeference);
        Ok(Self { directory, layout, nodata, georeference, band_names })
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.layout.height, self.layout.width)
    }

    pub(super) fn bands(&self) -> usize {
        self.layout.bands
    }

    pub(super) fn rows(&self, channels: Vec<usize>) -> TiffRows {
        let absent = rows::absent_value(self.nodata, self.layout.kind);
        let source = self.directory.source.clone();
        TiffRows::new(source, Arc::clone(&self.layout), self.directory.endian, channels, absent)
    }
}

/// Names of all bands as GDAL notes them: `<Item name="DESCRIPTION" sample="0" role="description">blue</Item>`. `None` where a
/// band has none, or two have the same.
fn descriptions(xml: &str, bands: usize) -> Option<Vec<String>> {
    let mut names = vec![None; bands];
    for item in xml.split("<Item ").skip(1) {
        let (head, rest) = item.split_once('>')?;
        if !head.contains("role=\"description\"") {
            continue;
        }
        let sample = head.split("sample=\"").nth(1)?.split('"').next()?.parse::<usize>().ok()?;
        let text = rest.split("</Item>").next()?;
        *names.get_mut(sample)? = Some(unescaped(text));
    }
    let names: Vec<String> = names.into_iter().collect::<Option<_>>()?;
    let is_once = |(at, name): (usize, &String)| !name.is_empty() && !names[..at].contains(name);
    names.iter().enumerate().all(is_once).then(|| names.clone())
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests;
