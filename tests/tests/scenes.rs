//! Predictions and tests at the command line, from a run and from a cv: what is written is what the network says.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use engine::data::{DataFolder, Raster};
use engine_tests::cli::{Ended, Workplace};
use serde_json::Value;
use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

const TRAINING: [&str; 20] = [
    "--train-data-dir",
    "data",
    "--artifact-dir",
    "out",
    "--model-encoder",
    "resnet18",
    "--batch-size",
    "4",
    "--max-epochs",
    "2",
    "--learning-rate",
    "0.002",
    "--accelerator",
    "cpu",
    "--data-split-method",
    "region",
    "--data-split-by",
    HELD_OUT,
    "--check-val-every-n-epoch",
    "1",
];
/// The region that is held out.
const HELD_OUT: &str = "kolguev";
/// Bands of the synthetic data.
const BANDS: usize = 4;

fn done(place: &Workplace, line: &str) -> Ended {
    let ended = place.run(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended
}

fn fails(place: &Workplace, line: &str, code: i32, needles: &[&str]) {
    let ended = place.run(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ended.code, Some(code), "{line}: {}", ended.stderr);
    for needle in needles {
        assert!(ended.stderr.contains(needle), "{line} does not say {needle:?}: {}", ended.stderr);
    }
}

/// Folder of a run that learned a little of the synthetic data.
fn trained(place: &Workplace) -> String {
    let ended = place.run(&[["train", "--json", "--name", "r"].as_slice(), &TRAINING].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.outcome()["run_dir"].as_str().unwrap().to_owned()
}

/// One band of an image with all its values.
fn values(path: &Path) -> Vec<f32> {
    let raster = Raster::open(path).unwrap();
    let (height, width) = raster.size();
    let mut rows = raster.rows(vec![0]).unwrap().with_nodata();
    let (mut all, mut row, mut ignored) = (Vec::new(), vec![0.0; width], vec![false; width]);
    for _ in 0..height {
        rows.next_row(&mut row, &mut ignored).unwrap();
        let value = |(value, ignored): (&f32, &bool)| if *ignored { f32::NAN } else { *value };
        all.extend(row.iter().zip(&ignored).map(value));
    }
    all
}

/// Samples of the data put side by side, two rows of them: a scene that looks like what was trained on.
fn mosaic(place: &Workplace, across: usize) -> (usize, usize, Vec<f32>) {
    let folder = DataFolder::open(place.path("data"), None).unwrap();
    let (_, side, _) = folder.shape();
    let (height, width) = (2 * side, across * side);
    let mut pixels = vec![0.0; height * width * BANDS];
    for tile in 0..2 * across {
        let sample = folder.read(tile).unwrap();
        let (top, left) = (tile / across * side, tile % across * side);
        for band in 0..BANDS {
            for y in 0..side {
                for x in 0..side {
                    let at = ((top + y) * width + left + x) * BANDS + band;
                    pixels[at] = sample.x[(band * side + y) * side + x];
                }
            }
        }
    }
    (height, width, pixels)
}

/// A GeoTIFF of four bands, turned and without a number for its reference system.
fn scene(path: &Path, (height, width, pixels): &(usize, usize, Vec<f32>)) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::RGBA32Float>(*width as u32, *height as u32).unwrap();
    let tags = image.encoder();
    tags.write_tag(Tag::ModelTransformationTag, MATRIX.as_slice()).unwrap();
    tags.write_tag(Tag::GeoKeyDirectoryTag, KEYS.as_slice()).unwrap();
    tags.write_tag(Tag::GeoAsciiParamsTag, "Somewhere|").unwrap();
    tags.write_tag(Tag::GdalNodata, "-9999").unwrap();
    image.write_data(pixels).unwrap();
}

const MATRIX: [f64; 16] =
    [8.0, 6.0, 0.0, 1234.5, 6.0, -8.0, 0.0, 6789.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
const KEYS: [u16; 12] = [1, 1, 0, 2, 1024, 0, 1, 1, 1026, 34737, 10, 0];

/// One run trains for all that is asked of a run: that takes longest.
#[test]
fn a_run_predicts_scenes_and_folders() {
    let place = Workplace::with_data();
    let run = trained(&place);
    a_scene_is_predicted_where_it_lies_and_without_data_where_it_has_none(&place, &run);
    a_folder_is_predicted_as_the_test_of_its_run_sees_it(&place, &run);
    #[cfg(target_os = "linux")]
    memory_does_not_grow_with_the_height(&place, &run);
}

fn a_scene_is_predicted_where_it_lies_and_without_data_where_it_has_none(place: &Workplace, run: &str) {
    let mut image = mosaic(place, 5);
    let (height, width) = (image.0, image.1);
    // A corner has no data in one band, one pixel is not a number in another.
    for y in 0..20 {
        for x in 0..30 {
            image.2[(y * width + x) * BANDS + 1] = -9999.0;
        }
    }
    image.2[(40 * width + 50) * BANDS + 3] = f32::NAN;
    scene(&place.path("scene.tif"), &image);
    let tiles = "--tile-size 64 --overlap 24 --accelerator cpu";
    let json = done(place, &format!("predict scene.tif --from {run} --to p --json {tiles}")).json();
    let told = &json[0]["predictions"][0];
    assert_eq!((&told["height"], &told["width"]), (&height.into(), &width.into()));

    let probabilities = values(&place.path("p/scene_probability.tif"));
    let mask = values(&place.path("p/scene_mask.tif"));
    let is_ignored = |at: usize| (at % width < 30 && at / width < 20) || at == 40 * width + 50;
    for (at, (probability, label)) in probabilities.iter().zip(&mask).enumerate() {
        if is_ignored(at) {
            assert!(probability.is_nan() && *label == 2.0, "pixel {at}: {probability} {label}");
        } else {
            assert!((0.0..=1.0).contains(probability), "pixel {at}: {probability}");
            assert_eq!(*label, if *probability > 0.5 { 1.0 } else { 0.0 }, "pixel {at}");
        }
    }
    assert_eq!(told["ignored"], 601);
    assert_eq!(told["positive"], mask.iter().filter(|label| **label == 1.0).count());
    let spread = |values: &[f32]| {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        finite().fold(0.0, f32::max) - finite().fold(1.0, f32::min)
    };
    assert!(spread(&probabilities) > 0.05, "the network sees something in the scene");
    for name in ["p/scene_probability.tif", "p/scene_mask.tif"] {
        let mut decoder = tiff::decoder::Decoder::new(File::open(place.path(name)).unwrap()).unwrap();
        assert_eq!(decoder.get_tag_f64_vec(Tag::ModelTransformationTag).unwrap(), MATRIX, "{name}");
        assert_eq!(decoder.get_tag_u16_vec(Tag::GeoKeyDirectoryTag).unwrap(), KEYS, "{name}");
        assert_eq!(decoder.get_tag_ascii_string(Tag::GeoAsciiParamsTag).unwrap(), "Somewhere|", "{name}");
    }

    // Another threshold and form: the same probabilities, in 255 steps.
    done(
        place,
        &format!("predict scene.tif --from {run} --to q --quiet --format uint8 --threshold 0.3 {tiles}"),
    );
    let scaled = values(&place.path("q/scene_probability.tif"));
    let other = values(&place.path("q/scene_mask.tif"));
    for at in 0..height * width {
        if is_ignored(at) {
            assert_eq!((scaled[at], other[at]), (255.0, 2.0));
        } else {
            assert_eq!(scaled[at], (probabilities[at] * 254.0).round());
            assert_eq!(other[at] == 1.0, probabilities[at] > 0.3);
        }
    }
    assert_no_seams(&probabilities, width);
    refusals(place, run);
}

/// The tiles of 64 pixels overlap by 24, so they begin at columns 40, 80 and 96, and end at 64, 104 and 144. From one column to the
/// next, the probability steps no further there than elsewhere. Columns at which samples meet are left out: there the scene
/// itself steps.
fn assert_no_seams(probabilities: &[f32], width: usize) {
    let mut at_borders = Vec::new();
    let mut within = Vec::new();
    for row in probabilities.chunks_exact(width).skip(24) {
        for (column, pair) in row.windows(2).enumerate() {
            let step = (pair[0] - pair[1]).abs();
            if step.is_nan() {
                continue;
            }
            match column + 1 {
                meeting if meeting % 32 == 0 => {}
                40 | 80 | 104 | 144 => at_borders.push(step),
                _ => within.push(step),
            }
        }
    }
    let largest = |steps: &[f32]| steps.iter().copied().fold(0.0, f32::max);
    let mean = |steps: &[f32]| steps.iter().sum::<f32>() / steps.len() as f32;
    let (border, inside) = ((largest(&at_borders), mean(&at_borders)), (largest(&within), mean(&within)));
    engine_tests::note(&format!(
        "predict: steps at tile borders (largest, mean) {border:?}, within {inside:?}"
    ));
    assert!(
        border.0 <= inside.0 && border.1 <= inside.1 * 1.5,
        "steps at borders {border:?}, within {inside:?}"
    );
}

fn refusals(place: &Workplace, run: &str) {
    let (usage, data) = (2, 3);
    let before = place.files();
    let npy = place.path("two.npy");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8, 8), }");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 2 * 8 * 8 * 4]);
    fs::write(&npy, bytes).unwrap();
    let predict =
        |inputs: &str, rest: &str| format!("predict {inputs} --from {run} --to n --accelerator cpu {rest}");
    fails(place, &predict("two.npy", ""), data, &["2 bands", "the network takes 4", "--bands", "two.npy"]);
    fails(place, &predict("scene.tif", "--bands a b c d"), data, &["`blue`", "scene.tif"]);
    fails(place, &predict("scene.tif", "--bands a b"), data, &["4 bands", "2 are named"]);
    fails(place, &predict("scene.tif scene.tif", ""), usage, &["two inputs are called `scene`"]);
    fails(place, &predict("scene.tif", "--tile-size 100"), usage, &["tile-size", "multiple of 32"]);
    fails(place, &predict("scene.tif", "--overlap 300"), usage, &["overlap", "half"]);
    fails(place, &predict("scene.tif", "--threshold 2"), usage, &["threshold", "from 0 to 1"]);
    fails(place, &predict("scene.tif", "--scale 1 2"), usage, &["scale", "one for each band"]);
    fails(place, &predict("gone.tif", ""), 4, &["gone.tif"]);
    fails(place, "predict scene.tif --from data --to n --accelerator cpu", usage, &["no checkpoint", "data"]);
    let cut = fs::read(place.path("scene.tif")).unwrap();
    fs::write(place.path("cut.tif"), &cut[..cut.len() / 2]).unwrap();
    fails(place, &predict("cut.tif", ""), data, &["TIFF is damaged", "cut.tif"]);
    let left: Vec<PathBuf> = place.files().into_keys().filter(|path| !before.contains_key(path)).collect();
    let made = ["n", "two.npy", "cut.tif"].map(|name| place.path(name));
    assert!(left.iter().all(|path| made.contains(path)), "{left:?}");
}

/// Counts of a mask against labels: true positives, false positives, false negatives.
fn count(mask: &[f32], labels: &[u8]) -> [u64; 3] {
    let mut counts = [0; 3];
    for (found, truth) in mask.iter().zip(labels) {
        match (*found == 1.0, truth) {
            (true, 1) => counts[0] += 1,
            (true, 0) => counts[1] += 1,
            (false, 1) => counts[2] += 1,
            _ => {}
        }
    }
    counts
}

fn a_folder_is_predicted_as_the_test_of_its_run_sees_it(place: &Workplace, run: &str) {
    let ended = done(place, &format!("predict data --from {run} --to p --json --accelerator cpu"));
    let predictions = ended.json()[0]["predictions"].as_array().unwrap().clone();
    let folder = DataFolder::open(place.path("data"), None).unwrap();
    assert_eq!(predictions.len(), folder.len());
    let mut counts = [0; 3];
    for (row, prediction) in predictions.iter().enumerate() {
        let name = prediction["mask"].as_str().unwrap();
        let mask = values(&place.path(name));
        let labels = folder.read(row).unwrap().y;
        let ignored = labels.iter().zip(&mask).all(|(label, found)| (*label == 2) == (*found == 2.0));
        assert!(ignored, "sample {row}: what its labels ignore is ignored, and nothing else");
        let reference = Raster::open(&place.path(name)).unwrap();
        let affine = reference.georeference().unwrap().affine().unwrap();
        let (min, max) = folder.footprints().unwrap()[row].as_ref().unwrap().bounds();
        assert_eq!(affine.at(0.0, 0.0), [min[0], max[1]]);
        let [x, y] = affine.at(32.0, 32.0);
        assert!((x - max[0]).abs() < 1e-6 && (y - min[1]).abs() < 1e-6);
        assert_eq!(reference.georeference().unwrap().epsg().unwrap().code, 3413);
        if folder.table().region[row] == HELD_OUT {
            counts.iter_mut().zip(count(&mask, &labels)).for_each(|(sum, count)| *sum += count);
        }
    }
    let [tp, fp, fn_] = counts.map(|count: u64| count as f64);
    assert!(tp + fn_ > 0.0, "there is something to find");

    // The run's own split, without a word about it: what it held out.
    let tested = done(place, &format!("test --from {run} --artifact-dir out --json --accelerator cpu"));
    let metrics = &tested.outcome()["metrics"];
    let iou = metrics["test/JaccardIndex"].as_f64().unwrap();
    let expected = if tp + fp + fn_ > 0.0 { tp / (tp + fp + fn_) } else { 0.0 };
    assert!((iou - expected).abs() < 1e-9, "test says {iou}, the masks {expected}");
    let recall = metrics["test/Recall"].as_f64().unwrap();
    assert!((recall - tp / (tp + fn_)).abs() < 1e-9, "{recall}");
    // Another split, by option.
    let options = "--data-split-method region --data-split-by banks --accelerator cpu";
    let other = done(place, &format!("test --from {run} --artifact-dir out --json {options}"));
    assert_ne!(other.outcome()["metrics"]["test/loss"], metrics["test/loss"]);
    fails(
        place,
        &format!("test --from {run} --checkpoint {run}/checkpoints/last"),
        2,
        &["--checkpoint", "--from"],
    );
    fails(place, "test --from nowhere", 2, &["no such folder", "nowhere"]);
}

#[test]
fn a_cv_predicts_the_mean_of_its_runs_and_is_tested_run_by_run() {
    let place = Workplace::with_data();
    let folds = ["--fold-method", "region-stratified", "--total-folds", "2", "--n-randoms", "1"];
    let own = ["cv", "--json", "--name", "c", "--devices", "0", "--max-epochs", "1"];
    let training: Vec<&str> =
        TRAINING.chunks_exact(2).filter(|pair| pair[0] != "--max-epochs").flatten().copied().collect();
    let ended = place.run(&[own.as_slice(), &folds, &training].concat());
    assert!(matches!(ended.code, Some(0 | 6)), "{}", ended.stderr);
    let runs: Vec<Value> = ended.outcome()["runs"].as_array().unwrap().clone();
    let image = mosaic(&place, 2);
    scene(&place.path("scene.tif"), &image);
    let cv = "out/_cross_validations/c";
    let told =
        done(&place, &format!("predict scene.tif --from {cv} --to all --json --accelerator cpu")).json();
    assert_eq!(told[0]["checkpoints"].as_array().unwrap().len(), 2);
    let of = |to: &str| values(&place.path(&format!("{to}/scene_probability.tif")));
    let mut sum = vec![0.0_f64; image.0 * image.1];
    for run in &runs {
        let folder = run["run_dir"].as_str().unwrap();
        done(&place, &format!("predict scene.tif --from {folder} --to one --quiet --accelerator cpu"));
        sum.iter_mut().zip(of("one")).for_each(|(sum, value)| *sum += f64::from(value));
    }
    let mean: Vec<f64> = sum.into_iter().map(|sum| sum / 2.0).collect();
    for (at, (all, mean)) in of("all").iter().zip(&mean).enumerate() {
        assert!((f64::from(*all) - mean).abs() < 1e-6, "pixel {at}: {all} is not the mean {mean}");
    }

    // Mirrored, a scene has the mirrored prediction where every symmetry is looked at.
    let (height, width, pixels) = &image;
    let mirrored = pixels.chunks_exact(width * BANDS).flat_map(|row| row.rchunks_exact(BANDS)).flatten();
    scene(&place.path("mirrored.tif"), &(*height, *width, mirrored.copied().collect()));
    let run = runs[0]["run_dir"].as_str().unwrap();
    done(
        &place,
        &format!("predict scene.tif mirrored.tif --from {run} --to f --flips --quiet --accelerator cpu"),
    );
    let (one, other) =
        (values(&place.path("f/scene_probability.tif")), values(&place.path("f/mirrored_probability.tif")));
    let back: Vec<f32> = other.chunks_exact(*width).flat_map(|row| row.iter().rev()).copied().collect();
    let largest = one.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5, "{largest}");
    let plain: Vec<f32> = {
        done(&place, &format!("predict scene.tif --from {run} --to one --quiet --accelerator cpu"));
        of("one")
    };
    assert!(
        plain.iter().zip(&one).any(|(a, b)| (a - b).abs() > 1e-4),
        "the symmetries say something of their own"
    );

    let tested =
        done(&place, &format!("test --from {cv} --artifact-dir out --name t --json --accelerator cpu"));
    let lines = tested.json();
    let each: Vec<f64> = lines
        .iter()
        .filter(|line| line["event"] == "result")
        .map(|line| line["outcome"]["metrics"]["test/loss"].as_f64().unwrap())
        .collect();
    let summary = &lines.last().unwrap()["metrics"]["test/loss"];
    assert_eq!((each.len(), &summary["tests"]), (2, &2.into()));
    assert!((summary["mean"].as_f64().unwrap() - (each[0] + each[1]) / 2.0).abs() < 1e-12);
    assert!((summary["spread"].as_f64().unwrap() - (each[0] - each[1]).abs() / 2.0).abs() < 1e-12);
}

/// Most memory that the program held until most of a scene was predicted, in bytes. What it does last is left out: it may be gone
/// before it is looked at.
#[cfg(target_os = "linux")]
fn peak_bytes(place: &Workplace, line: &str) -> u64 {
    let mut running = place.start(&line.split_whitespace().collect::<Vec<_>>());
    let mut peak = 0;
    for tenth in 1..=8 {
        running.until_stderr(&format!(": {tenth}0 % predicted"));
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: Option<u64> =
            line.map(|line| line.trim().strip_suffix(" kB").unwrap().parse().unwrap());
        assert!(kibibytes.is_some() || tenth > 4, "there is work left, so the program runs");
        peak = peak.max(kibibytes.unwrap_or(0) << 10);
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    peak
}

/// A GeoTIFF of strips of 128 rows. The first, the middle and the last hold pixels, the same ones; the others are left out, as GDAL
/// does, and have no data: they are read, blended and written, but not computed.
#[cfg(target_os = "linux")]
fn sparse_scene(path: &Path, (height, width): (usize, usize), pixels: &[f32]) {
    const ROWS: usize = 128;
    let strips = height / ROWS;
    let block: Vec<u8> = pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(block.len(), ROWS * width * BANDS * 4);
    let is_there = |strip: usize| [0, strips / 2, strips - 1].contains(&strip);
    let table = |value: usize| -> Vec<u8> {
        (0..strips).flat_map(|strip| (if is_there(strip) { value as u32 } else { 0 }).to_le_bytes()).collect()
    };
    let first = 8;
    let (places, lengths) = (first + block.len(), first + block.len() + 4 * strips);
    let nodata = lengths + 4 * strips;
    let directory = nodata + 8;
    let mut file = b"II\x2a\0".to_vec();
    file.extend((directory as u32).to_le_bytes());
    file.extend(&block);
    file.extend(table(first));
    file.extend(table(block.len()));
    file.extend(b"-9999\0\0\0");
    let entries: [(u16, u16, usize, usize); 11] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 32),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, strips, places),
        (277, 3, 1, BANDS),
        (278, 4, 1, ROWS),
        (279, 4, strips, lengths),
        (339, 3, 1, 3),
        (42113, 2, 6, nodata),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend((count as u32).to_le_bytes());
        file.extend((value as u32).to_le_bytes());
    }
    file.extend([0; 4]);
    fs::write(path, file).unwrap();
}

/// A scene of eight times the height takes no more memory, though it would fill four times what the bound allows.
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_height(place: &Workplace, run: &str) {
    let (width, low, high) = (512, 2048, 16_384);
    let (_, across, pixels) = mosaic(place, 8);
    let block: Vec<f32> = (0..128 * width * BANDS)
        .map(|at| pixels[at / (width * BANDS) % 64 * across * BANDS + at % (across * BANDS)])
        .collect();
    for (name, height) in [("low.tif", low), ("high.tif", high)] {
        sparse_scene(&place.path(name), (height, width), &block);
    }
    let predict = |name: &str| {
        format!("predict {name} --from {run} --to m --tile-size 256 --overlap 32 --accelerator cpu")
    };
    let (small, large) = (peak_bytes(place, &predict("low.tif")), peak_bytes(place, &predict("high.tif")));
    let more = ((high - low) * width * BANDS * size_of::<f32>()) as u64;
    engine_tests::note(&format!(
        "predict: at most {} MiB at {low} rows, {} MiB at {high} rows of {width} columns, {} MiB more pixels",
        small >> 20,
        large >> 20,
        more >> 20
    ));
    assert!(large < small + more / 4, "{small} bytes at {low} rows, {large} at {high}");
    let mask = values(&place.path("m/high_mask.tif"));
    let of_strip = |strip: usize| &mask[strip * 128 * width..(strip + 1) * 128 * width];
    assert!(
        of_strip(127).iter().all(|label| *label < 2.0) && of_strip(126).iter().all(|label| *label == 2.0)
    );
}
