use std::io::Cursor;

use super::write::Form;
use super::*;

/// An image whose every value is another.
fn written<T: TiffValue>(height: usize, width: usize, value: impl Fn(usize) -> T) -> Vec<u8> {
    let reference =
        Georeference::of_rectangle(([0.0, 0.0], [width as f64, height as f64]), (height, width), None);
    let image = TiffImage { height, width, georeference: Some(&reference), nodata: "nan", band: "a<&b" };
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()), &image).unwrap();
    for row in 0..height {
        let row: Vec<T> = (0..width).map(|column| value(row * width + column)).collect();
        writer.row(&row).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn opened(bytes: &[u8]) -> (tempfile::TempDir, Result<Tiff, RasterError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tif");
    std::fs::write(&path, bytes).unwrap();
    let tiff = Tiff::open(&path);
    (folder, tiff)
}

#[test]
fn what_is_written_is_read_back_value_for_value() {
    for (height, width) in [(1, 1), (256, 256), (300, 517), (513, 30)] {
        let value = |at: usize| at as f32 * 0.37 - 40.0;
        let (_folder, tiff) = opened(&written(height, width, value));
        let tiff = tiff.unwrap();
        assert_eq!((tiff.size(), tiff.bands()), ((height, width), 1));
        assert_eq!(tiff.band_names.as_deref(), Some(["a<&b".to_owned()].as_slice()));
        assert!(tiff.nodata.unwrap().is_nan());
        assert_eq!(tiff.georeference.as_ref().unwrap().affine().unwrap().origin, [0.0, height as f64]);
        let mut rows = tiff.rows(vec![0]);
        let mut row = vec![0.0; width];
        for number in 0..height {
            rows.next_row(&mut row).unwrap();
            let expected: Vec<f32> = (0..width).map(|column| value(number * width + column)).collect();
            assert_eq!(row, expected, "row {number} of {height} x {width}");
        }
    }
    let (_folder, tiff) = opened(&written(10, 300, |at| at as u8));
    let mut row = vec![0.0; 300];
    tiff.unwrap().rows(vec![0]).next_row(&mut row).unwrap();
    assert_eq!(row[299], 43.0);
}

#[test]
fn what_is_written_with_wide_offsets_is_the_same() {
    let image = TiffImage { height: 300, width: 40, georeference: None, nodata: "255", band: "mask" };
    let mut bytes = Vec::new();
    for form in [Form::Classic, Form::Big] {
        let mut writer = TiffWriter::begin(Cursor::new(Vec::new()), &image, form).unwrap();
        (0..300).for_each(|row| writer.row(&[row as u8; 40]).unwrap());
        bytes.push(writer.finish().unwrap().into_inner());
    }
    assert_eq!((bytes[0][2], bytes[1][2]), (42, 43));
    for bytes in bytes {
        let (_folder, tiff) = opened(&bytes);
        let tiff = tiff.unwrap();
        assert_eq!((tiff.size(), tiff.nodata), ((300, 40), Some(255.0)));
        let (mut rows, mut row) = (tiff.rows(vec![0]), vec![0.0; 40]);
        for number in 0..300_u32 {
            rows.next_row(&mut row).unwrap();
            assert_eq!(row, [(number % 256) as f32; 40]);
        }
    }
}

#[test]
fn an_image_that_lacks_rows_is_not_finished() {
    let image = TiffImage { height: 2, width: 2, georeference: None, nodata: "255", band: "mask" };
    let mut writer = TiffWriter::<_, u8>::new(Cursor::new(Vec::new()), &image).unwrap();
    writer.row(&[1, 2]).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("1 of 2 rows"));
}

/// Reads everything; errors are what is wanted of damaged files, never a panic.
fn read_all(bytes: &[u8]) -> Result<(), RasterError> {
    let (_folder, tiff) = opened(bytes);
    let tiff = tiff?;
    let (height, width) = tiff.size();
    let mut rows = tiff.rows((0..tiff.bands()).collect());
    let mut row = vec![0.0; width * tiff.bands()];
    (0..height).try_for_each(|_| rows.next_row(&mut row))
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = written(20, 20, |at| at as f32);
    read_all(&whole).unwrap();
    // What ends the file says that there is no further directory, and is not looked at.
    for cut in 0..whole.len() - 4 {
        let error = read_all(&whole[..cut]).unwrap_err();
        assert!(error.to_string().contains("image.tif"), "cut at {cut}: {error}");
    }
}

/// Changes a value of a tag that stands in its entry.
fn with_tag(bytes: &[u8], tag: u16, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = u32::from_le_bytes(*bytes[4..].first_chunk().unwrap()) as usize;
    let count = u16::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let entry = (0..count)
        .map(|entry| at + 2 + 12 * entry)
        .find(|entry| u16::from_le_bytes(*bytes[*entry..].first_chunk().unwrap()) == tag)
        .unwrap();
    bytes[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn what_cannot_be_says_what_it_is_and_what_to_do() {
    let whole = written(20, 20, |at| at as f32);
    let u32_max = u32::MAX;
    for (tag, value, said) in [
        (256, 0, "width"),
        (256, 4_000_000_000, "a row of its pixels takes"),
        (257, 4_000_000_000, "places"),
        (277, 0, "0 bands"),
        (277, 60_000, "4096"),
        (258, 16, "16-bit floating-point"),
        (259, 7, "compressed by JPEG"),
        (259, 50_000, "COMPRESS=DEFLATE"),
        (262, 3, "palette"),
        (262, 6, "colours 6"),
        (317, 9, "predictor"),
        (322, 0, "tile width"),
        (323, 40_000, "bytes of pixels"),
        (324, u32_max, "beyond its end"),
        (325, 1, "bytes of pixels"),
    ] {
        let error = read_all(&with_tag(&whole, tag, value)).unwrap_err().to_string();
        assert!(error.contains(said), "tag {tag} = {value}: {error}");
    }
}

#[test]
fn a_chunk_that_is_left_out_has_no_data() {
    let whole = written(20, 20, |at| at as f32);
    let sparse = with_tag(&with_tag(&whole, 324, 0), 325, 0);
    let (_folder, tiff) = opened(&sparse);
    let mut row = vec![0.0; 20];
    tiff.unwrap().rows(vec![0]).next_row(&mut row).unwrap();
    assert!(row.iter().all(|value| value.is_nan()));
}
