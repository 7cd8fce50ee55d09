//! Images: GeoTIFF, PNG and npy, told apart by what they begin with.

use std::fs;
use std::path::Path;

use engine::data::{MAX_ROW_BYTES, Raster};

use crate::harness::Target;

/// A row of tiles, decoded, and the rows that are filled from it.
const HELD_BYTES: usize = (1 << 30) + 2 * MAX_ROW_BYTES as usize;
/// Values read of an image at the most: one that says of itself that it is high is not read to its end.
const MOST_VALUES: usize = 1 << 22;

fn read(path: &Path) -> String {
    let answer = Raster::open(path).and_then(|raster| {
        let ((height, width), bands) = (raster.size(), raster.bands());
        let affine = raster.georeference().and_then(|reference| reference.affine());
        let system = raster.georeference().and_then(|reference| reference.epsg());
        let mut rows = raster.rows((0..bands).collect())?;
        let (mut values, mut ignored) = (vec![0.0; bands * width], vec![false; width]);
        for _ in 0..height.min((MOST_VALUES / values.len()).max(1)) {
            rows.next_row(&mut values, &mut ignored)?;
        }
        let (names, nodata) = (raster.band_names().is_some(), raster.nodata().is_some());
        Ok(format!(
            "read {bands} {height} {width} {} {} {names} {nodata}",
            affine.is_some(),
            system.is_some()
        ))
    });
    answer.unwrap_or_else(|error| {
        let told = crate::chain(&error);
        assert!(told.contains(&path.display().to_string()), "does not name its file: {told}");
        told.replace(&path.display().to_string(), "FILE")
    })
}

fn fixtures() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/raster");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is_read = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".tif") && !name.contains("palette") && !name.contains("zstd")
    };
    paths.into_iter().filter(|path| is_read(path)).map(|path| fs::read(path).unwrap()).collect()
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 9, 7);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Sixteen);
    let data: Vec<u8> = (0..9 * 7 * 6).map(|at| (at * 7 % 256) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    bytes
}

fn npy() -> Vec<u8> {
    let header = format!("{:<117}\n", "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3, 4), }");
    [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), &[1; 48]].concat()
}

#[test]
fn images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut corpus = fixtures();
    corpus.extend([png(), npy()]);
    let target = Target {
        name: "images",
        corpus,
        words: &[
            "II*\0",
            "MM\0*",
            "II+\0",
            "IHDR",
            "IDAT",
            "'descr': '>f8'",
            "(65536, 65536)",
            "\0\u{1}\0\u{3}",
        ],
        seal: None,
        allowed_bytes: HELD_BYTES,
    };
    target.run(|input| {
        fs::write(&path, input).unwrap();
        read(&path)
    });
}
