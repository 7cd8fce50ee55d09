//! Images of others, read value for value: GeoTIFFs that GDAL wrote (`tests/data/raster`), TIFFs of the crate `tiff`, PNG, npy; and
//! what is written, read by that crate.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use engine::data::{Epsg, Georeference, Raster, RasterError, TiffImage, TiffValue, TiffWriter};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::encoder::{Compression, DeflateLevel, Predictor, TiffEncoder, colortype};
use tiff::tags::Tag;

/// Height and width of the images in `tests/data/raster`.
const SIZE: (usize, usize) = (70, 90);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/raster").join(name)
}

/// All values of an image, `[bands, height, width]`, and which pixels have none.
fn read(path: &Path, channels: &[usize]) -> Result<(Vec<f32>, Vec<bool>), RasterError> {
    let raster = Raster::open(path)?;
    let (height, width) = raster.size();
    let mut rows = raster.rows(channels.to_vec())?;
    let mut values = vec![0.0; channels.len() * height * width];
    let mut ignored = vec![false; height * width];
    let mut row = vec![0.0; channels.len() * width];
    for number in 0..height {
        rows.next_row(&mut row, &mut ignored[number * width..(number + 1) * width])?;
        for (band, pixels) in row.chunks_exact(width).enumerate() {
            let first = (band * height + number) * width;
            values[first..first + width].copy_from_slice(pixels);
        }
    }
    Ok((values, ignored))
}

/// What `make.py` wrote.
fn expected(kind: &str, band: usize, row: usize, column: usize) -> f32 {
    let base = (band * 7919 + row * 131 + column * 17) % 251;
    match kind {
        "i16" => base as f32 * 100.0 - 12_000.0,
        "u16" => base as f32 * 257.0,
        "f32" | "f64" => base as f32 / 8.0 - 3.0,
        _ => base as f32,
    }
}

#[test]
fn what_gdal_writes_is_read_value_for_value() {
    let (height, width) = SIZE;
    for (name, bands) in [
        ("u8_strips_plain.tif", 1),
        ("u8_rgb_and_nir_deflate.tif", 4),
        ("u16_planes_tiles_lzw_big.tif", 3),
        ("i16_big_endian_lzw.tif", 2),
        ("i16_planes_packbits.tif", 2),
        ("i32_tiles_deflate.tif", 1),
        ("f32_tiles_deflate_3.tif", 2),
        ("f32_strips_deflate_3_big_endian.tif", 3),
        ("f64_tiles_deflate_3.tif", 1),
    ] {
        let path = fixture(name);
        let raster = Raster::open(&path).unwrap();
        assert_eq!((raster.size(), raster.bands()), (SIZE, bands), "{name}");
        let reference = raster.georeference().unwrap();
        assert_eq!(reference.epsg(), Some(Epsg { code: 32608, is_projected: true }), "{name}");
        let affine = reference.affine().unwrap();
        assert_eq!(affine.at(0.0, 0.0), [500_000.0, 7_800_000.0], "{name}");
        assert_eq!(affine.at(90.0, 70.0), [500_900.0, 7_799_300.0], "{name}");
        // In another order than the file's, and all of them.
        let channels: Vec<usize> = (0..bands).rev().collect();
        let (values, ignored) = read(&path, &channels).unwrap();
        for (place, channel) in channels.iter().enumerate() {
            for row in 0..height {
                for column in 0..width {
                    let pixel = row * width + column;
                    let value = values[place * height * width + pixel];
                    // Where one band has no data, none has.
                    let wanted =
                        if ignored[pixel] { 0.0 } else { expected(&name[..3], *channel, row, column) };
                    assert_eq!(value, wanted, "{name}: band {channel}, row {row}, column {column}");
                }
            }
        }
        let without = (0..height * width).filter(|pixel| {
            let (row, column) = (pixel / width, pixel % width);
            name.starts_with("i16_big")
                && (0..bands).any(|band| expected("i16", band, row, column) == -12_000.0)
        });
        let without: Vec<usize> = without.collect();
        let told: Vec<usize> = (0..height * width).filter(|pixel| ignored[*pixel]).collect();
        assert_eq!(told, without, "{name}");
    }
    let named = Raster::open(&fixture("u8_rgb_and_nir_deflate.tif")).unwrap();
    assert_eq!(named.band_names().unwrap(), ["red", "green", "blue", "nir"]);
    assert_eq!(Raster::open(&fixture("i16_big_endian_lzw.tif")).unwrap().nodata(), Some(-12_000.0));
}

#[test]
fn tiles_that_gdal_left_out_have_no_data() {
    let (values, ignored) = read(&fixture("u8_sparse.tif"), &[0]).unwrap();
    let (_, width) = SIZE;
    for (pixel, ignored) in ignored.iter().enumerate() {
        let (row, column) = (pixel / width, pixel % width);
        let is_written = row < 32 && column < 32;
        let value = expected("u8", 0, row, column);
        assert_eq!(*ignored, !is_written || value == 250.0, "row {row}, column {column}");
        assert_eq!(values[pixel], if *ignored { 0.0 } else { value });
    }
}

#[test]
fn what_is_not_read_says_what_to_do() {
    for (name, said) in [("u8_palette.tif", "palette"), ("u8_zstd.tif", "compressed by ZSTD")] {
        let error = read(&fixture(name), &[0]).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("gdal_translate") && error.contains(name), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.tif");
    fs::write(&path, "no image").unwrap();
    let error = read(&path, &[0]).unwrap_err().to_string();
    assert!(error.contains("no GeoTIFF, PNG or npy") && error.contains("text.tif"), "{error}");
    let error = read(&folder.path().join("gone.tif"), &[0]).unwrap_err().to_string();
    assert!(error.contains("cannot read the image") && error.contains("gone.tif"), "{error}");
}

#[test]
fn what_the_crate_tiff_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tif");
    let (height, width) = (61_u32, 33_u32);
    let pixels: Vec<u16> = (0..height * width * 4).map(|at| (at * 977 % 65_536) as u16).collect();
    let floats: Vec<f32> = pixels.iter().map(|value| f32::from(*value) / 7.0 - 100.0).collect();
    for (name, compression) in [
        ("plain", Compression::Uncompressed),
        ("LZW", Compression::Lzw),
        ("Deflate", Compression::Deflate(DeflateLevel::Balanced)),
        ("PackBits", Compression::Packbits),
    ] {
        for predictor in [Predictor::None, Predictor::Horizontal] {
            let file = File::create(&path).unwrap();
            let mut encoder = TiffEncoder::new_big(file).unwrap().with_compression(compression);
            if compression != Compression::Packbits && compression != Compression::Uncompressed {
                encoder = encoder.with_predictor(predictor);
            }
            let mut image = encoder.new_image::<colortype::RGBA16>(width, height).unwrap();
            image.rows_per_strip(7).unwrap();
            image.write_data(&pixels).unwrap();
            let (values, _) = read(&path, &[0, 1, 2, 3]).unwrap();
            for (at, value) in pixels.iter().enumerate() {
                let found = values[(at % 4) * (height * width) as usize + at / 4];
                assert_eq!(found, f32::from(*value), "{name} {predictor:?} {at}");
            }
        }
    }
    let mut encoder = TiffEncoder::new(File::create(&path).unwrap()).unwrap();
    encoder.write_image::<colortype::RGBA32Float>(width, height, &floats).unwrap();
    let (values, _) = read(&path, &[2]).unwrap();
    assert!(values.iter().enumerate().all(|(pixel, value)| *value == floats[pixel * 4 + 2]));
}

fn written<T: TiffValue>((height, width): (usize, usize), value: impl Fn(usize) -> T) -> Vec<u8> {
    let epsg = Epsg { code: 3413, is_projected: true };
    let corners = ([100.0, 200.0], [100.0 + width as f64, 200.0 + height as f64]);
    let reference = Georeference::of_rectangle(corners, (height, width), Some(epsg));
    let image =
        TiffImage { height, width, georeference: Some(&reference), nodata: "255", band: "probability" };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), &image).unwrap();
    for row in 0..height {
        let row: Vec<T> = (0..width).map(|column| value(row * width + column)).collect();
        writer.row(&row).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn the_crate_tiff_reads_what_is_written() {
    let (height, width) = (300, 270);
    let mut decoder = Decoder::new(Cursor::new(written((height, width), |at| (at % 253) as u8))).unwrap();
    assert_eq!(decoder.dimensions().unwrap(), (width as u32, height as u32));
    let DecodingResult::U8(values) = decoder.read_image().unwrap() else { unreachable!("bytes") };
    assert!(values.iter().enumerate().all(|(at, value)| *value == (at % 253) as u8));
    let scale = decoder.get_tag_f64_vec(Tag::ModelPixelScaleTag).unwrap();
    assert_eq!(scale, [1.0, 1.0, 0.0]);
    assert_eq!(decoder.get_tag_f64_vec(Tag::ModelTiepointTag).unwrap(), [0.0, 0.0, 0.0, 100.0, 500.0, 0.0]);
    assert!(decoder.get_tag_u16_vec(Tag::GeoKeyDirectoryTag).unwrap().contains(&3413));
    assert_eq!(decoder.get_tag_ascii_string(Tag::GdalNodata).unwrap(), "255");
    let value = |at: usize| (at as f32).sin();
    let mut decoder = Decoder::new(Cursor::new(written((height, width), value))).unwrap();
    let DecodingResult::F32(values) = decoder.read_image().unwrap() else { unreachable!("floats") };
    assert!(values.iter().enumerate().all(|(at, found)| *found == value(at)));
}

fn png(path: &Path, (height, width): (u32, u32), color: png::ColorType, depth: png::BitDepth, data: &[u8]) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 255, 0, 0]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

#[test]
fn png_is_read_in_every_depth_and_refused_with_a_palette() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    let bytes: Vec<u8> = (0..5 * 7 * 3).map(|at| (at * 13 % 256) as u8).collect();
    png(&path, (5, 7), png::ColorType::Rgb, png::BitDepth::Eight, &bytes);
    let (values, _) = read(&path, &[2, 0]).unwrap();
    assert!((0..35).all(|pixel| values[pixel] == f32::from(bytes[pixel * 3 + 2])));
    assert!((0..35).all(|pixel| values[35 + pixel] == f32::from(bytes[pixel * 3])));
    png(&path, (5, 7), png::ColorType::Grayscale, png::BitDepth::Sixteen, &bytes[..70]);
    let (values, _) = read(&path, &[0]).unwrap();
    let big = |pixel: usize| f32::from(u16::from_be_bytes([bytes[pixel * 2], bytes[pixel * 2 + 1]]));
    assert!((0..35).all(|pixel| values[pixel] == big(pixel)));
    // Three rows of ten pixels of one bit: each row begins with a byte of its own.
    let bits = [0b1010_0000, 0b0100_0000, 0, 0b1100_0000, 0xff, 0xff];
    png(&path, (3, 10), png::ColorType::Grayscale, png::BitDepth::One, &bits);
    let (values, _) = read(&path, &[0]).unwrap();
    assert_eq!(values[..10], [1., 0., 1., 0., 0., 0., 0., 0., 0., 1.]);
    assert_eq!(values[20..], [1.; 10]);
    png(&path, (3, 10), png::ColorType::Indexed, png::BitDepth::One, &bits);
    let error = read(&path, &[0]).unwrap_err().to_string();
    assert!(error.contains("a PNG with a palette") && error.contains("image.png"), "{error}");
    png(&path, (5, 7), png::ColorType::Rgb, png::BitDepth::Eight, &bytes);
    let whole = fs::read(&path).unwrap();
    for cut in [20, 40, whole.len() - 30] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = read(&path, &[0]).unwrap_err().to_string();
        assert!(error.contains("PNG is damaged") && error.contains("image.png"), "{error}");
    }
}

/// An npy file with this header and these values.
fn npy(path: &Path, header: &str, values: &[u8]) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:<117}\n");
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.as_bytes());
    bytes.extend(values);
    fs::write(path, bytes).unwrap();
}

#[test]
fn npy_is_read_in_either_order_and_refused_in_fortrans() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.npy");
    let values: Vec<f32> = (0..2 * 3 * 4).map(|at| at as f32 + 0.5).collect();
    let little: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy(&path, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }", &little);
    assert_eq!(read(&path, &[0, 1]).unwrap().0, values);
    assert_eq!(read(&path, &[1]).unwrap().0, values[12..]);
    let big: Vec<u8> = (0..12_i64).flat_map(|at| (at - 5).to_be_bytes()).collect();
    npy(&path, "{'descr': '>i8', 'fortran_order': False, 'shape': (3, 4), }", &big);
    assert_eq!(read(&path, &[0]).unwrap().0, (0..12).map(|at| (at - 5) as f32).collect::<Vec<_>>());
    npy(&path, "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 2), }", &[1, 0]);
    assert_eq!(read(&path, &[0]).unwrap().0, [1.0, 0.0]);
    npy(
        &path,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }",
        &[0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x3f],
    );
    assert_eq!(
        read(&path, &[0]).unwrap(),
        (vec![0.0, 1.0], vec![true, false]),
        "what is not a number has no data"
    );
    for (header, said) in [
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }", "Fortran"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (3, 4), }", "<c8"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 4), }", "a structure"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 2, 2), }", "[3, 4, 2, 2]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", "no pixel"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (300000, 400000), }", "too short"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", "too short"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (a, 4), }", "no shape"),
        ("{'fortran_order': False, 'shape': (3, 4), }", "no type"),
    ] {
        npy(&path, header, &little);
        let error = read(&path, &[0]).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("image.npy"), "{header}: {error}");
    }
}
