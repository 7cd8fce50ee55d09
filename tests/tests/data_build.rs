//! `engine data build`: from images and masks to a folder that the engine reads, checks and trains on.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs::{self, File};
use std::path::Path;

use engine::data::DataFolder;
use engine_tests::cli::{Ended, Workplace};
use serde_json::Value;
use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

const USAGE: i32 = 2;
const DATA: i32 = 3;
const FILE: i32 = 4;

fn run(place: &Workplace, line: &str) -> Ended {
    place.run(&line.split_whitespace().collect::<Vec<_>>())
}

fn built(place: &Workplace, line: &str) -> Value {
    let ended = run(place, &format!("data build --json {line}"));
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended.json()[0].clone()
}

/// Refused, with these words, and nothing left behind.
fn refused(place: &Workplace, line: &str, code: i32, needles: &[&str]) {
    let before = place.files();
    let ended = run(place, &format!("data build {line}"));
    assert_eq!(ended.code, Some(code), "{line}: {}", ended.stderr);
    for needle in needles {
        assert!(ended.stderr.contains(needle), "{line} does not say {needle:?}: {}", ended.stderr);
    }
    assert!(place.files().keys().eq(before.keys()), "{line} left something behind");
}

fn folders(place: &Workplace, names: &[&str]) {
    names.iter().for_each(|name| fs::create_dir_all(place.path(name)).unwrap());
}

/// Values of two bands; the second has no data in its first column.
fn npy(path: &Path, (height, width): (usize, usize), value: impl Fn(usize, usize, usize) -> f32) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (2, {height}, {width}), }}");
    let header = format!("{header:<117}\n");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for band in 0..2 {
        for row in 0..height {
            for column in 0..width {
                bytes.extend(value(band, row, column).to_le_bytes());
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

fn mask(path: &Path, (height, width): (usize, usize), label: impl Fn(usize, usize) -> u8) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let data: Vec<u8> = (0..height * width).map(|at| label(at / width, at % width)).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
}

fn value(band: usize, row: usize, column: usize) -> f32 {
    (band * 10_000 + row * 100 + column) as f32
}

#[test]
fn every_pixel_of_an_image_is_in_its_patch() {
    let place = Workplace::new();
    folders(&place, &["i/north", "i/south", "m/north", "m/south"]);
    let size = (50, 70);
    let label = |row: usize, column: usize| u8::from(row == 40 && column > 60) * 255;
    for (name, first) in [("north/a", 0.0), ("south/b", 1_000_000.0)] {
        let image = place.path(&format!("i/{name}_rgb.npy"));
        npy(&image, size, |band, row, column| match (band, column) {
            (1, 0) => f32::NAN,
            _ => first + value(band, row, column),
        });
        mask(&place.path(&format!("m/{name}.png")), size, label);
    }
    let report = built(
        &place,
        "i --masks m --to data --image-suffix _rgb --bands one two --patch-size 32 --overlap 8 --positive 255 \
         --scale 0.5 --offset 1 0",
    );
    // Rows begin at 0 and 24, columns at 0, 24 and 48: that is two by three.
    assert_eq!((&report["samples"], &report["empty_samples"]), (&12.into(), &10.into()));
    assert_eq!(report["regions"], serde_json::json!(["north", "south"]));
    let folder = DataFolder::open(place.path("data"), None).unwrap();
    assert_eq!((folder.len(), folder.shape(), folder.bands().join(" ")), (12, (2, 32, 32), "one two".into()));
    assert!(folder.footprints().is_none() && report["notes"][0].as_str().unwrap().contains("where it lies"));
    for row in 0..12 {
        let sample = folder.read(row).unwrap();
        let (region, first) = if row < 6 { ("north", 0.0) } else { ("south", 1_000_000.0) };
        assert_eq!(folder.table().region[row], region);
        assert_eq!(folder.table().sample_id[row], if row < 6 { "north/a" } else { "south/b" });
        let (top, left) = ((row % 6) / 3 * 24, row % 3 * 24);
        for y in 0..32 {
            for x in 0..32 {
                let (line, column) = (top + y, left + x);
                let is_data = line < 50 && column < 70 && column > 0;
                let wanted = |band: usize| match (is_data, band) {
                    (false, _) => 0.0,
                    (true, 0) => (first + value(0, line, column)) * 0.5 + 1.0,
                    (true, _) => (first + value(1, line, column)) * 0.5,
                };
                for band in 0..2 {
                    let found = sample.x[(band * 32 + y) * 32 + x];
                    assert_eq!(found, wanted(band), "sample {row}, band {band}, row {line}, column {column}");
                }
                let wanted = if is_data { label(line, column) / 255 } else { 2 };
                assert_eq!(sample.y[y * 32 + x], wanted, "sample {row}, row {line}, column {column}");
            }
        }
        assert_eq!(folder.table().empty[row], !sample.y.contains(&1));
    }
    let checked =
        run(&place, "data validate --train-data-dir data --fold-method region --total-folds 1 --json");
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert_eq!(checked.json()[0]["values"]["wrongly_empty"], serde_json::json!([]));
    // It is there now.
    refused(
        &place,
        "i --masks m --to data --image-suffix _rgb --bands one two",
        DATA,
        &["not empty", ": data"],
    );
}

/// An image of one band on the ground, ten metres a pixel.
fn tiff(path: &Path, size: (usize, usize), [x, y]: [f64; 2], zone: u16, pixel: impl Fn(usize, usize) -> u8) {
    let (height, width) = size;
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::Gray8>(width as u32, height as u32).unwrap();
    let tags = image.encoder();
    tags.write_tag(Tag::ModelPixelScaleTag, [10.0, 10.0, 0.0].as_slice()).unwrap();
    tags.write_tag(Tag::ModelTiepointTag, [0.0, 0.0, 0.0, x, y, 0.0].as_slice()).unwrap();
    tags.write_tag(Tag::GeoKeyDirectoryTag, [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, zone].as_slice())
        .unwrap();
    // Many masks call their background so; what is named by an option goes before.
    tags.write_tag(Tag::GdalNodata, "0").unwrap();
    let data: Vec<u8> = (0..height * width).map(|at| pixel(at / width, at % width)).collect();
    image.write_data(&data).unwrap();
}

#[test]
fn patches_lie_where_their_pixels_lie_and_leaks_between_images_are_seen() {
    let place = Workplace::new();
    folders(&place, &["all"]);
    // Two images of two regions overlap by half; a third is far away.
    for (name, x, y) in [("a", 0.0, 0.0), ("b", 160.0, 0.0), ("c", 90_000.0, 50_000.0)] {
        let image = place.path(&format!("all/{name}_image.tif"));
        tiff(&image, (32, 32), [x, y], 32633, |row, column| 1 + (row + column) as u8);
        let path = place.path(&format!("all/{name}_mask.tif"));
        tiff(&path, (32, 32), [x, y], 32633, |row, column| u8::from(row == 3 && column == 5));
    }
    place.write("regions.csv", "image,zone\na_image.tif,west\nb_image,east\n\"c\",far\n");
    let report = built(
        &place,
        "all --masks all --image-suffix _image --mask-suffix _mask --to data --bands grey --patch-size 32 --regions \
         regions.csv --region-column zone",
    );
    assert_eq!((&report["samples"], &report["notes"]), (&3.into(), &serde_json::json!([])));
    assert_eq!((&report["positive_pixels"], &report["ignored_pixels"]), (&3.into(), &0.into()));
    let folder = DataFolder::open(place.path("data"), None).unwrap();
    assert_eq!(folder.table().region, ["west", "east", "far"]);
    assert_eq!(folder.epsg().unwrap().code, 32633);
    let bounds = |row: usize| folder.footprints().unwrap()[row].as_ref().unwrap().bounds();
    assert_eq!(bounds(1), ([160.0, -320.0], [480.0, 0.0]));
    let line = "data validate --train-data-dir data --data-split-method region --data-split-by east --fold-method none --json";
    let checked = run(&place, line);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let warnings = checked.json()[0]["warnings"].as_array().unwrap().clone();
    let meeting: Vec<&Value> =
        warnings.iter().filter(|warning| warning["kind"] == "footprints-meet").collect();
    assert_eq!(meeting.len(), 1, "{warnings:?}");
    assert!(meeting[0]["message"].as_str().unwrap().contains("first 0 (`a`) and 1 (`b`)"), "{meeting:?}");

    // Of two reference systems, coordinates can not be compared.
    tiff(&place.path("all/c_image.tif"), (32, 32), [90_000.0, 50_000.0], 32634, |_, _| 1);
    let report = built(
        &place,
        "all --masks all --image-suffix _image --mask-suffix _mask --to other --bands grey --patch-size 32",
    );
    assert!(report["notes"][0].as_str().unwrap().contains("several reference systems"), "{report}");
    assert!(DataFolder::open(place.path("other"), None).unwrap().footprints().is_none());
}

#[test]
fn what_is_built_can_be_trained_on() {
    let place = Workplace::new();
    for region in ["i/north", "i/south", "m/north", "m/south"] {
        folders(&place, &[region]);
    }
    for name in ["north/a", "north/b", "south/a", "south/b"] {
        npy(&place.path(&format!("i/{name}.npy")), (64, 64), |band, row, column| {
            (value(band, row, column) / 5000.0).sin()
        });
        mask(&place.path(&format!("m/{name}.png")), (64, 64), |row, column| {
            u8::from(row > 50 && column > 20)
        });
    }
    built(&place, "i --masks m --to data --bands one two --patch-size 32");
    let training = "train --train-data-dir data --artifact-dir out --model-encoder resnet18 --batch-size 2 --max-epochs 1 \
                    --accelerator cpu --fold-method region-stratified --total-folds 2 --json";
    let ended = run(&place, training);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.outcome()["status"], "complete");
}

#[test]
fn pairs_that_are_none_are_refused_before_anything_is_written() {
    let place = Workplace::new();
    folders(&place, &["i", "m", "empty"]);
    let size = (40, 40);
    let image = || npy(&place.path("i/a.npy"), size, value);
    image();
    mask(&place.path("m/a.png"), size, |_, _| 1);
    let to = "--to data --patch-size 32";
    let named = format!("i --masks m {to} --bands one two");
    refused(&place, &format!("i --masks m {to}"), DATA, &["2 bands", "--bands", "a.npy"]);
    refused(&place, &format!("i --masks m {to} --bands one"), DATA, &["2 bands", "1 are named", "a.npy"]);
    refused(&place, &format!("i --masks m {to} --bands one one"), DATA, &["`one` is named twice"]);
    refused(&place, &format!("empty --masks m {to}"), DATA, &["no image", "tif, tiff, png, npy", "empty"]);
    refused(&place, &format!("gone --masks m {to}"), FILE, &["cannot list the folder", "gone"]);
    refused(&place, &format!("i --masks i {to}"), USAGE, &["mask-suffix", "tell masks from images"]);
    refused(&place, &format!("{named} --patch-size 8 "), USAGE, &["cannot be used multiple times"]);
    refused(
        &place,
        "i --masks m --to data --bands one two --patch-size 8",
        USAGE,
        &["patch-size", "16 to 8192"],
    );
    refused(&place, &format!("{named} --overlap 32"), USAGE, &["overlap", "less than patch-size"]);
    refused(&place, &format!("{named} --positive 2"), USAGE, &["ignored", "one meaning"]);
    refused(&place, &format!("{named} --scale 1 2 3"), USAGE, &["scale", "one for each"]);
    refused(&place, &format!("{named} --ignored 1 --positive 3"), DATA, &["no pixel of the images counts"]);
    refused(&place, &format!("{named} --regions gone.csv"), FILE, &["table of regions", "gone.csv"]);
    for (table, said) in [
        ("picture,region\na,x\n", "no column `image`"),
        ("image,region\nb,x\n", "does not name image `a`"),
        ("image,region\na\n", "record 2 lacks a value"),
        ("image,region\na,x\na,y\n", "two regions, x and y"),
        ("image,region\na,\n", "no region"),
    ] {
        place.write("r.csv", table);
        refused(&place, &format!("{named} --regions r.csv"), DATA, &[said, "r.csv"]);
    }

    // Partners, sizes, labels, damage.
    mask(&place.path("m/b.png"), size, |_, _| 1);
    refused(&place, &named, DATA, &["1 of the masks", "b.png"]);
    fs::rename(place.path("m/b.png"), place.path("i/b.png")).unwrap();
    refused(&place, &named, DATA, &["1 of the images", "b.png"]);
    fs::rename(place.path("i/b.png"), place.path("i/a.png")).unwrap();
    refused(&place, &named, DATA, &["two images are called `a`", "a.npy", "a.png"]);
    fs::remove_file(place.path("i/a.png")).unwrap();
    mask(&place.path("m/a.png"), (40, 39), |_, _| 1);
    refused(&place, &named, DATA, &["40 x 39", "40 x 40", "a.png", "a.npy"]);
    mask(&place.path("m/a.png"), size, |row, column| if row == 2 && column > 36 { 7 } else { 1 });
    refused(&place, &named, DATA, &["3 pixels", "first 7 in row 2, column 37", "--ignored", "a.png"]);
    fs::copy(place.path("i/a.npy"), place.path("m/a.npy")).unwrap();
    fs::remove_file(place.path("m/a.png")).unwrap();
    refused(&place, &named, DATA, &["the mask has 2 bands", "m/a.npy"]);
    fs::remove_file(place.path("m/a.npy")).unwrap();
    mask(&place.path("m/a.png"), size, |_, _| 1);
    let whole = fs::read(place.path("m/a.png")).unwrap();
    fs::write(place.path("m/a.png"), &whole[..whole.len() / 2]).unwrap();
    refused(&place, &named, DATA, &["PNG is damaged", "a.png"]);
    mask(&place.path("m/a.png"), size, |_, _| 1);
    fs::write(place.path("i/a.npy"), b"").unwrap();
    refused(&place, &named, DATA, &["no GeoTIFF, PNG or npy", "a.npy"]);
    image();
    built(&place, &named);
}
