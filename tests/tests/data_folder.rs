//! The training data folder, from synthesis to batches, and everything that can be wrong with one.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the failure's report")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::augment::Pipeline;
use engine::data::{
    Batch, DataError, DataFolder, Loader, LoaderConfig, Remainder, Shard, SynthConfig, WarningKind,
    check_all, synthesise, validate,
};
use engine::folds::FoldMethod;
use engine::segmentation::settings::{SegmentationSettings, TestSplit};
use engine_tests::damage::{Columns, edit_json, edit_table, write_v2};
use tempfile::TempDir;

const SAMPLES: usize = 24;
const SIZE: usize = 16;

/// A small folder with every part that a real one has.
fn synthetic(directory: &TempDir) -> PathBuf {
    let dir = directory.path().join("data");
    synthesise(&small(&dir)).unwrap();
    dir
}

fn small(dir: &Path) -> SynthConfig {
    SynthConfig {
        samples: SAMPLES,
        patch_size: SIZE,
        regions: 3,
        ignored_fraction: 0.5,
        ..SynthConfig::new(dir)
    }
}

fn settings(dir: &Path) -> SegmentationSettings {
    SegmentationSettings {
        train_data_dir: dir.into(),
        test_split: None,
        fold_method: FoldMethod::GroupStratified,
        total_folds: 3,
        subsample: None,
        in_memory: false,
        max_epochs: 1,
        early_stopping_patience: 0,
        num_workers: 0,
        save_top_k: 1,
        log_every_n_steps: 0,
        accumulate_grad_batches: 1,
        gradient_clip: None,
        precision: engine::nn::Precision::Single,
        check_val_every_n_epoch: 1,
        plot_every_n_val_epochs: 0,
        checkpoint_every_n_steps: None,
        weights_from_checkpoint: None,
        continue_from_checkpoint: None,
        backend: None,
    }
}

/// The folder's error, its whole text, and a check that it names the file.
fn refusal(dir: &Path, file: &str) -> (DataError, String) {
    let error = DataFolder::open(dir, None).and_then(|folder| check_all(&folder).map(|_| ())).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(&dir.join(file).display().to_string()), "{text} does not end in {file}");
    (error, text)
}

// ---- writing odd folders ----

fn read_all(folder: &DataFolder) -> (Vec<f32>, Vec<u8>) {
    let samples: Vec<_> = (0..folder.len()).map(|row| folder.read(row).unwrap()).collect();
    (samples.iter().flat_map(|s| s.x.clone()).collect(), samples.iter().flat_map(|s| s.y.clone()).collect())
}

/// The same folder with both arrays rewritten in v2 form.
fn as_v2(dir: &Path, chunk: usize) {
    let (x, y) = read_all(&DataFolder::open(dir, None).unwrap());
    let bytes: Vec<u8> = x.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_v2(dir, "x", "<f4", &[SAMPLES, 4, SIZE, SIZE], chunk, &bytes);
    write_v2(dir, "y", "|u1", &[SAMPLES, SIZE, SIZE], chunk, &y);
    std::fs::remove_file(dir.join("data.zarr/zarr.json")).unwrap();
    std::fs::write(dir.join("data.zarr/.zgroup"), r#"{"zarr_format": 2}"#).unwrap();
}

// ---- reading ----

#[test]
fn a_synthetic_table_says_that_it_is_geoparquet() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let directory = TempDir::new().unwrap();
    let file = std::fs::File::open(synthetic(&directory).join("metadata.parquet")).unwrap();
    let table = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let note: serde_json::Value = serde_json::from_str(&table.schema().metadata()["geo"]).unwrap();
    assert_eq!(note["columns"]["geometry"]["encoding"], "WKB");
    assert_eq!(note["columns"]["geometry"]["crs"]["id"]["code"], 3413);
    assert_eq!(table.schema().metadata().len(), 1, "another schema would hide the note from geopandas");
}

#[test]
fn a_synthetic_folder_reads_as_it_was_reported() {
    let directory = TempDir::new().unwrap();
    let dir = directory.path().join("data");
    let report = synthesise(&small(&dir)).unwrap();
    let folder = DataFolder::open(&dir, None).unwrap();
    assert_eq!((folder.len(), folder.shape()), (SAMPLES, (4, SIZE, SIZE)));
    assert_eq!(folder.bands(), ["blue", "green", "red", "nir"]);
    let values = check_all(&folder).unwrap();
    assert_eq!(
        (values.negative, values.positive, values.ignored),
        (report.negative_pixels, report.positive_pixels, report.ignored_pixels)
    );
    assert!(values.wrongly_empty.is_empty() && values.positive > 0 && values.ignored > 0);
    let empty = folder.table().empty.iter().filter(|empty| **empty).count();
    assert_eq!(empty, report.empty_samples);
    assert!((8..=11).contains(&empty), "40 % of {SAMPLES}, rounded in each of three regions: {empty}");
    let regions: BTreeSet<_> = folder.table().region.iter().cloned().collect();
    assert_eq!(regions, report.regions.into_iter().collect());
    assert_eq!(folder.footprints().unwrap().iter().flatten().count(), SAMPLES);
}

#[test]
fn bands_come_in_the_order_asked_for() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let all = DataFolder::open(&dir, None).unwrap().read(5).unwrap();
    let asked = ["nir", "green"].map(String::from);
    let folder = DataFolder::open(&dir, Some(&asked)).unwrap();
    assert_eq!((folder.channels(), folder.shape()), (&[3usize, 1][..], (2, SIZE, SIZE)));
    let some = folder.read(5).unwrap();
    let pixels = SIZE * SIZE;
    assert_eq!(some.x[..pixels], all.x[3 * pixels..]);
    assert_eq!(some.x[pixels..], all.x[pixels..2 * pixels]);
    assert_eq!(some.y, all.y);
}

#[test]
fn version_two_and_chunks_of_several_samples_read_the_same() {
    for chunk in [1, 5] {
        let directory = TempDir::new().unwrap();
        let dir = synthetic(&directory);
        let before = read_all(&DataFolder::open(&dir, None).unwrap());
        as_v2(&dir, chunk);
        assert!(before == read_all(&DataFolder::open(&dir, None).unwrap()), "chunks of {chunk}");
    }
}

#[test]
fn an_absent_chunk_is_all_fill_value() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    std::fs::remove_dir_all(dir.join("data.zarr/x/c/3")).unwrap();
    edit_json(&dir.join("data.zarr/x/zarr.json"), |meta| meta["fill_value"] = 7.5.into());
    let folder = DataFolder::open(&dir, None).unwrap();
    assert_eq!(folder.read(3).unwrap().x, vec![7.5; 4 * SIZE * SIZE]);
    assert!(folder.read(4).unwrap().x.iter().any(|value| *value != 7.5));
}

#[test]
fn ids_may_be_integers_and_regions_dictionaries() {
    use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array};
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let before = DataFolder::open(&dir, None).unwrap().table().clone();
    edit_table(&dir, |columns| {
        let change = |(name, column): (String, ArrayRef)| match name.as_str() {
            "sample_id" => (name, Arc::new(Int64Array::from_iter_values(0..column.len() as i64)) as ArrayRef),
            "region" => {
                let codes: DictionaryArray<arrow::datatypes::Int8Type> =
                    column.as_string::<i32>().iter().collect();
                (name, Arc::new(codes) as ArrayRef)
            }
            _ => (name, column),
        };
        columns.into_iter().map(change).collect()
    });
    let folder = DataFolder::open(&dir, None).unwrap();
    assert_eq!(folder.table().region, before.region);
    assert_eq!(folder.table().sample_id[23], "23");
    assert!(folder.footprints().is_some(), "a column `geometry` counts without the GeoParquet note");
}

// ---- bad folders ----

#[test]
fn missing_parts_are_named() {
    for (part, what) in [
        ("config.toml", "config.toml is missing"),
        ("data.zarr", "data.zarr is missing"),
        ("data.zarr/x", "array x is missing"),
        ("data.zarr/y", "array y is missing"),
        ("metadata.parquet", "metadata.parquet is missing"),
    ] {
        let directory = TempDir::new().unwrap();
        let dir = synthetic(&directory);
        let path = dir.join(part);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        let (error, text) = refusal(&dir, part);
        assert!(matches!(error, DataError::Missing { .. }), "{error:?}");
        assert!(text.starts_with(what), "{text}");
    }
    let nowhere = Path::new("no/such/folder");
    assert!(
        matches!(DataFolder::open(nowhere, None), Err(DataError::Missing { path, .. }) if path == nowhere)
    );
}

#[test]
fn a_config_that_does_not_parse_or_lacks_bands_is_refused() {
    for (text, says) in [
        ("[darts", "does not parse"),
        ("[darts]\nbands = 3", "does not parse"),
        ("[other]", "[darts] is missing"),
        ("[darts]\npatch_size = 16", "`bands` is missing"),
        ("[darts]\nbands = []", "`bands` is empty"),
        ("[darts]\nbands = ['a', 'b', 'a', 'c']", "names `a` twice"),
    ] {
        let directory = TempDir::new().unwrap();
        let dir = synthetic(&directory);
        std::fs::write(dir.join("config.toml"), text).unwrap();
        let (_, told) = refusal(&dir, "config.toml");
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn an_unknown_band_is_answered_with_what_there_is() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let text = DataFolder::open(&dir, Some(&["gren".to_owned()])).unwrap_err().to_string();
    assert!(
        text.contains("no band `gren`, did you mean `green`; the bands are blue, green, red, nir"),
        "{text}"
    );
    let twice = ["red".to_owned(), "red".to_owned()];
    assert!(
        matches!(DataFolder::open(&dir, Some(&twice)), Err(DataError::RepeatedBand { band, .. }) if band == "red")
    );
    assert!(matches!(DataFolder::open(&dir, Some(&[])), Err(DataError::NoBands { .. })));
}

#[test]
fn arrays_of_another_form_are_refused() {
    let (x, y) = ("data.zarr/x", "data.zarr/y");
    type Break = fn(&Path);
    let cases: [(&str, Break, &str); 6] = [
        (
            x,
            |dir| write_v2(dir, "x", "<f8", &[SAMPLES, 4, 2, 2], 1, &vec![0; SAMPLES * 128]),
            "not of float32",
        ),
        (y, |dir| write_v2(dir, "y", "<i4", &[SAMPLES, 16, 16], 1, &vec![0; SAMPLES * 1024]), "not of uint8"),
        (
            x,
            |dir| write_v2(dir, "x", "<f4", &[SAMPLES, 16, 16], 1, &vec![0; SAMPLES * 1024]),
            "[samples, bands, height, width]",
        ),
        (
            y,
            |dir| write_v2(dir, "y", "|u1", &[SAMPLES, 16], 1, &vec![0; SAMPLES * 16]),
            "[samples, height, width]",
        ),
        (y, |dir| write_v2(dir, "y", "|u1", &[SAMPLES, 8, 8], 1, &vec![0; SAMPLES * 64]), "as x has it"),
        (
            x,
            |dir| write_v2(dir, "x", "<f4", &[SAMPLES, 3, 16, 16], 1, &vec![0; SAMPLES * 3072]),
            "of the 4 bands",
        ),
    ];
    for (file, break_it, says) in cases {
        let directory = TempDir::new().unwrap();
        let dir = synthetic(&directory);
        break_it(&dir);
        let (error, text) = refusal(&dir, file);
        assert!(matches!(error, DataError::ArrayForm { .. }) && text.contains(says), "{text}");
    }
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    std::fs::write(dir.join("data.zarr/x/zarr.json"), "{").unwrap();
    assert!(matches!(refusal(&dir, x).0, DataError::Array { array: "x", .. }));
}

#[test]
fn metadata_that_does_not_fit_is_refused() {
    use arrow::array::{Array, Float64Array, StringArray};
    type Edit = fn(Columns) -> Columns;
    let cases: [(Edit, &str); 6] = [
        (
            |columns| columns.into_iter().map(|(name, column)| (name, column.slice(0, 20))).collect(),
            "20 rows for 24 samples",
        ),
        (
            |columns| columns.into_iter().filter(|(name, _)| name != "region").collect(),
            "no column `region`; the columns are sample_id, empty, geometry",
        ),
        (
            |mut columns| {
                columns[0].1 = Arc::new(Float64Array::from(vec![0.5; SAMPLES]));
                columns
            },
            "column `sample_id` is Float64",
        ),
        (
            |mut columns| {
                columns[2].1 = Arc::new(StringArray::from(vec!["no"; SAMPLES]));
                columns
            },
            "column `empty` is Utf8, not booleans",
        ),
        (
            |mut columns| {
                columns[1].1 =
                    Arc::new((0..SAMPLES).map(|row| (row != 7).then_some("lena")).collect::<StringArray>());
                columns
            },
            "column `region` is null in row 7",
        ),
        (
            |mut columns| {
                columns[3].1 = Arc::new(arrow::array::BinaryArray::from(vec![&[1u8, 3, 0][..]; SAMPLES]));
                columns
            },
            "geometry of row 0 is not valid WKB",
        ),
    ];
    for (edit, says) in cases {
        let directory = TempDir::new().unwrap();
        let dir = synthetic(&directory);
        edit_table(&dir, edit);
        let (_, text) = refusal(&dir, "metadata.parquet");
        assert!(text.contains(says), "{text}");
    }
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let path = dir.join("metadata.parquet");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(refusal(&dir, "metadata.parquet").0, DataError::Metadata { .. }));
}

#[test]
fn a_damaged_chunk_is_named_by_its_file() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    for (damage, file) in [(0usize, "data.zarr/x/c/9/0/0/0"), (1, "data.zarr/y/c/4/0/0")] {
        let path = dir.join(file);
        let whole = std::fs::read(&path).unwrap();
        let cut = if damage == 0 { whole[..whole.len() / 2].to_vec() } else { vec![0xa5; whole.len()] };
        std::fs::write(&path, cut).unwrap();
        let (error, text) = refusal(&dir, file);
        assert!(matches!(error, DataError::Chunk { row, .. } if row == 9 || row == 4), "{text}");
        assert!(error.source().is_some());
        std::fs::write(&path, whole).unwrap();
    }
    check_all(&DataFolder::open(&dir, None).unwrap()).unwrap();
}

#[test]
fn bad_values_are_counted_and_never_loaded() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let (mut x, _) = read_all(&DataFolder::open(&dir, None).unwrap());
    let item = 4 * SIZE * SIZE;
    for place in [item * 6 + 3, item * 6 + 700, item * 11] {
        x[place] = if place % 2 == 0 { f32::NAN } else { f32::INFINITY };
    }
    let bytes: Vec<u8> = x.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_v2(&dir, "x", "<f4", &[SAMPLES, 4, SIZE, SIZE], 1, &bytes);
    let (_, text) = refusal(&dir, "data.zarr/x");
    assert!(text.starts_with("3 values of x in 2 samples are not finite, first in sample 6 "), "{text}");
    let folder = Arc::new(DataFolder::open(&dir, None).unwrap());
    assert!(matches!(folder.read(11), Err(DataError::NotFinite { first: 11, values: 1, .. })));
    let loader = Loader::new(Arc::clone(&folder), (0..SAMPLES).collect(), config(4, 2)).unwrap();
    let batches: Vec<_> = loader.epoch(0).collect();
    assert!(
        matches!(batches[..], [Ok(_), Err(DataError::NotFinite { first: 6, .. })]),
        "an error ends the epoch"
    );
    assert!(folder.read(5).is_ok());

    let green = DataFolder::open(&dir, Some(&["green".to_owned()])).unwrap();
    check_all(&green).unwrap(); // what is bad lies in blue and red
}

#[test]
fn labels_beyond_two_are_refused() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let (_, mut y) = read_all(&DataFolder::open(&dir, None).unwrap());
    y[SIZE * SIZE * 2 + 9] = 255;
    y[SIZE * SIZE * 8] = 3;
    write_v2(&dir, "y", "|u1", &[SAMPLES, SIZE, SIZE], 3, &y);
    let (_, text) = refusal(&dir, "data.zarr/y");
    assert!(
        text.starts_with("2 values of y in 2 samples are not 0, 1 or 2, first 255 in sample 2 "),
        "{text}"
    );
    let folder = DataFolder::open(&dir, None).unwrap();
    assert!(matches!(folder.read(8), Err(DataError::Label { label: 3, values: 1, first: 8, .. })));
    assert!(matches!(folder.read(SAMPLES), Err(DataError::RowOutOfRange { row: SAMPLES, .. })));
}

// ---- loading ----

fn config(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        shuffle: None,
        drop_last: false,
        workers,
        in_memory: false,
        augment: None,
        augment_seed: 0,
        ahead: 2,
        shard: None,
    }
}

fn epoch(folder: &Arc<DataFolder>, rows: Vec<usize>, config: LoaderConfig, epoch: u32) -> Vec<Batch> {
    Loader::new(Arc::clone(folder), rows, config).unwrap().epoch(epoch).collect::<Result<_, _>>().unwrap()
}

#[test]
fn batches_hold_the_samples_of_their_rows() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let batches = epoch(&folder, vec![4, 0, 17, 3, 9], config(2, 3), 0);
    assert_eq!(
        batches.iter().map(|batch| batch.rows.clone()).collect::<Vec<_>>(),
        [vec![4, 0], vec![17, 3], vec![9]]
    );
    for batch in &batches {
        assert_eq!((batch.n, batch.c, batch.h, batch.w), (batch.rows.len(), 4, SIZE, SIZE));
        let samples: Vec<_> = batch.rows.iter().map(|row| folder.read(*row).unwrap()).collect();
        assert!(batch.x == samples.iter().flat_map(|s| s.x.clone()).collect::<Vec<_>>());
        assert!(batch.y == samples.iter().flat_map(|s| s.y.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn an_epoch_is_the_same_with_any_number_of_threads() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let pipeline = ["HorizontalFlip", "RandomRotate90", "MultiplicativeNoise"].map(String::from);
    let pipeline = Arc::new(Pipeline::parse(&pipeline).unwrap());
    let rows: Vec<usize> = (1..SAMPLES).collect();
    let load = |workers, in_memory, number| {
        let config = LoaderConfig {
            shuffle: Some(42),
            augment: Some(Arc::clone(&pipeline)),
            augment_seed: 7,
            in_memory,
            ..config(5, workers)
        };
        epoch(&folder, rows.clone(), config, number)
    };
    let first = load(1, false, 0);
    for (workers, in_memory) in [(0, false), (2, true), (5, false), (16, true)] {
        assert!(load(workers, in_memory, 0) == first, "{workers} threads, in memory: {in_memory}");
    }
    let order = |batches: &[Batch]| batches.iter().flat_map(|batch| batch.rows.clone()).collect::<Vec<_>>();
    let next = load(2, false, 1);
    assert_ne!(order(&next), order(&first), "each epoch has its own order");
    let mut sorted = order(&next);
    sorted.sort_unstable();
    assert_eq!(sorted, rows, "and holds every sample once");
}

#[test]
fn samples_in_memory_are_decoded_once_and_stay_as_they_were() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let folder = Arc::new(DataFolder::open(&dir, None).unwrap());
    let pipeline = Arc::new(Pipeline::parse(&["Posterize".to_owned()]).unwrap());
    let config = LoaderConfig { in_memory: true, augment: Some(pipeline), ..config(8, 2) };
    let loader = Loader::new(folder, (0..SAMPLES).collect(), config).unwrap();
    let first: Vec<_> = loader.epoch(0).collect::<Result<_, _>>().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let again: Vec<_> = loader.epoch(0).collect::<Result<_, _>>().unwrap();
    assert!(first == again);
}

#[test]
fn shards_take_turns_in_one_order() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let rows: Vec<usize> = (0..11).collect();
    let order = |shard: Option<Shard>, rows: &[usize]| -> Vec<usize> {
        let config = LoaderConfig { shuffle: Some(42), shard, ..config(2, 1) };
        epoch(&folder, rows.to_vec(), config, 3).iter().flat_map(|batch| batch.rows.clone()).collect()
    };
    let whole = order(None, &rows);
    let shards = |remainder, rows: &[usize]| -> Vec<Vec<usize>> {
        (0..4).map(|rank| order(Some(Shard { rank, world: 4, remainder }), rows)).collect()
    };
    let at = |places: &[usize]| -> Vec<usize> { places.iter().map(|place| whole[*place]).collect() };
    let left = shards(Remainder::Leave, &rows);
    assert_eq!(left, [at(&[0, 4, 8]), at(&[1, 5, 9]), at(&[2, 6, 10]), at(&[3, 7])]);
    assert_eq!(shards(Remainder::Repeat, &rows)[3], at(&[3, 7, 0]));
    // Fewer samples than shards: one has none, and its epoch ends at once.
    assert!(shards(Remainder::Leave, &rows[..3])[3].is_empty());
    let shard = Some(Shard { rank: 1, world: 2, remainder: Remainder::Repeat });
    let dropping = |batch_size| LoaderConfig { drop_last: true, shard, ..config(batch_size, 1) };
    let loader = Loader::new(Arc::clone(&folder), rows.clone(), dropping(4)).unwrap();
    assert_eq!((loader.batches_per_epoch(), loader.samples_per_epoch(), loader.epoch(0).count()), (1, 4, 1));
    let refused = Loader::new(folder, rows, dropping(7)).unwrap_err();
    assert!(matches!(refused, DataError::BatchLargerThanSet { batch_size: 7, samples: 6, .. }));
}

#[test]
fn whole_batches_alone_are_left_when_the_last_is_dropped() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let rows: Vec<usize> = (0..10).collect();
    let dropping = |batch_size| LoaderConfig { drop_last: true, ..config(batch_size, 1) };
    let loader = Loader::new(Arc::clone(&folder), rows.clone(), dropping(4)).unwrap();
    assert_eq!((loader.batches_per_epoch(), loader.samples_per_epoch(), loader.epoch(0).count()), (2, 8, 2));
    let whole = Loader::new(Arc::clone(&folder), rows.clone(), config(4, 1)).unwrap();
    assert_eq!((whole.batches_per_epoch(), whole.samples_per_epoch(), whole.epoch(0).count()), (3, 10, 3));
    let refused = |rows, config| Loader::new(Arc::clone(&folder), rows, config).unwrap_err();
    assert!(matches!(
        refused(rows.clone(), dropping(11)),
        DataError::BatchLargerThanSet { batch_size: 11, samples: 10, .. }
    ));
    assert!(matches!(refused(rows.clone(), config(0, 1)), DataError::BatchOfNone { .. }));
    assert!(matches!(refused(vec![], config(2, 1)), DataError::NothingToLoad { .. }));
    assert!(matches!(refused(vec![3, SAMPLES], config(2, 1)), DataError::RowOutOfRange { row: SAMPLES, .. }));
}

#[test]
fn an_epoch_dropped_midway_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let loader = Loader::new(Arc::clone(&folder), (0..SAMPLES).collect(), config(2, 4)).unwrap();
    for taken in 0..3 {
        let mut batches = loader.epoch(0);
        for _ in 0..taken {
            batches.next().unwrap().unwrap();
        }
        drop(batches);
    }
    // An epoch keeps its threads where its loader is gone.
    let batches = loader.epoch(1);
    drop(loader);
    assert_eq!(batches.map(|batch| batch.unwrap().n).sum::<usize>(), SAMPLES);
    // Every thread held the folder; the joined ones gave it back.
    assert_eq!(Arc::strong_count(&folder), 1);
}

#[test]
fn epochs_of_one_loader_that_overlap_are_as_if_alone() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let config = LoaderConfig { shuffle: Some(42), ..config(2, 2) };
    let loader = Loader::new(Arc::clone(&folder), (0..SAMPLES).collect(), config).unwrap();
    let alone = |number| loader.epoch(number).collect::<Result<Vec<_>, _>>().unwrap();
    let (first, second) = (alone(0), alone(1));
    // One that is not asked for batches, begun before and dropped after, keeps the others from nothing.
    let idle = loader.epoch(2);
    let (mut one, mut other) = (loader.epoch(0), loader.epoch(1));
    for number in 0..first.len() {
        assert!(
            one.next().unwrap().unwrap() == first[number] && other.next().unwrap().unwrap() == second[number]
        );
    }
    assert!(one.next().is_none() && other.next().is_none());
    drop(idle);
}

#[test]
fn labels_come_as_bytes_and_widened_after_the_augmentations() {
    let directory = TempDir::new().unwrap();
    let folder = Arc::new(DataFolder::open(synthetic(&directory), None).unwrap());
    let rows: Vec<usize> = (0..SAMPLES).collect();
    for names in [["HorizontalFlip", "VerticalFlip", "Posterize"], ["RandomRotate90", "Blur", "D4"]] {
        let pipeline = Arc::new(Pipeline::parse(&names.map(String::from)).unwrap());
        for in_memory in [false, true] {
            let augment = Some(Arc::clone(&pipeline));
            let config = LoaderConfig { augment, augment_seed: 9, in_memory, ..config(5, 2) };
            for batch in epoch(&folder, rows.clone(), config, 4) {
                let mut samples: Vec<_> = batch.rows.iter().map(|row| folder.read(*row).unwrap()).collect();
                for (row, sample) in batch.rows.iter().zip(&mut samples) {
                    let key = engine::augment::key(9, 4, *row as u64);
                    pipeline.apply(&mut sample.x, &mut sample.y, folder.shape(), key).unwrap();
                }
                assert!(batch.x == samples.iter().flat_map(|s| s.x.clone()).collect::<Vec<_>>(), "{names:?}");
                assert!(batch.y == samples.iter().flat_map(|s| s.y.clone()).collect::<Vec<_>>(), "{names:?}");
                assert_eq!(batch.target, batch.y.iter().copied().map(i64::from).collect::<Vec<_>>());
            }
        }
    }
}

// ---- validation ----

#[test]
fn a_report_counts_every_fold_and_finds_no_leak_between_regions() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let folder = DataFolder::open(&dir, None).unwrap();
    let report = validate(&folder, &settings(&dir)).unwrap();
    assert_eq!(report.warnings, []);
    assert_eq!((report.all.samples, report.all.regions.len(), report.folds.len()), (SAMPLES, 3, 3));
    assert_eq!(report.all.positive + report.all.negative, SAMPLES);
    for fold in &report.folds {
        assert_eq!((fold.train.samples, fold.val.samples), (16, 8));
        assert_eq!((fold.train.regions.len(), fold.val.regions.len()), (2, 1));
        assert_eq!(fold.train.positive + fold.val.positive, report.all.positive);
    }
    assert!(serde_json::to_value(&report).unwrap()["folds"][2]["val"]["sample_ids"].is_array());
}

#[test]
fn what_leaks_between_the_sides_is_warned_of() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    let folder = DataFolder::open(&dir, None).unwrap();
    let kfold = SegmentationSettings { fold_method: FoldMethod::Kfold, ..settings(&dir) };
    let report = validate(&folder, &kfold).unwrap();
    let kinds: BTreeSet<String> =
        report.warnings.iter().filter(|w| w.fold == Some(0)).map(|w| format!("{:?}", w.kind)).collect();
    assert_eq!(
        kinds,
        BTreeSet::from(["FootprintsMeet", "SharedRegions", "SharedSampleIds"].map(String::from))
    );
    let meet = report.warnings.iter().find(|warning| warning.kind == WarningKind::FootprintsMeet).unwrap();
    assert!(meet.message.contains("train samples overlap or touch"), "{}", meet.message);

    let test =
        SegmentationSettings { test_split: Some(TestSplit::Region(vec!["lena".into()])), ..settings(&dir) };
    assert!(
        validate(&folder, &test).unwrap_err().to_string().contains("`lena`"),
        "three regions alone are there"
    );
    let region = folder.table().region[0].clone();
    let test = SegmentationSettings {
        test_split: Some(TestSplit::Region(vec![region])),
        total_folds: 2,
        ..settings(&dir)
    };
    let report = validate(&folder, &test).unwrap();
    assert_eq!(report.test.unwrap().samples, 8);
    assert!(report.folds.iter().all(|fold| fold.train.samples == 8 && fold.val.samples == 8));

    let four = SegmentationSettings { total_folds: 4, ..settings(&dir) };
    let error = validate(&folder, &four).unwrap_err();
    assert!(matches!(error, DataError::Folds { .. }), "{error}");
    assert!(error.to_string().ends_with(&dir.display().to_string()), "{error}");
}

#[test]
fn metadata_that_contradict_the_labels_are_warned_of() {
    use arrow::array::BooleanArray;
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    edit_table(&dir, |mut columns| {
        columns[2].1 = Arc::new(BooleanArray::from(vec![false; SAMPLES]));
        columns
    });
    let config = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    std::fs::write(dir.join("config.toml"), config.replace("patch_size = 16", "patch_size = 32")).unwrap();
    let report = validate(&DataFolder::open(&dir, None).unwrap(), &settings(&dir)).unwrap();
    let kinds: Vec<_> = report.warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::PatchSize, WarningKind::EmptyContradicted]);
}

// ---- synthesis ----

#[test]
fn the_same_seed_gives_the_same_folder_and_another_another() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, seed| {
        let dir = directory.path().join(name);
        synthesise(&SynthConfig { seed, ..small(&dir) }).unwrap();
        let folder = DataFolder::open(&dir, None).unwrap();
        (read_all(&folder), folder.table().clone())
    };
    let first = write("a", 1);
    assert!(first == write("b", 1));
    assert!(first.0 != write("c", 2).0);
}

#[test]
fn a_taken_folder_or_impossible_settings_write_nothing() {
    let directory = TempDir::new().unwrap();
    let dir = synthetic(&directory);
    assert!(matches!(synthesise(&small(&dir)), Err(DataError::NotEmpty { path }) if path == dir));
    let other = directory.path().join("other");
    for (broken, says) in [
        (SynthConfig { samples: 0, ..small(&other) }, "samples is 0"),
        (SynthConfig { regions: SAMPLES + 1, ..small(&other) }, "25 regions for 24 samples"),
        (SynthConfig { patch_size: 8, ..small(&other) }, "patch size 8"),
        (SynthConfig { bands: vec![], ..small(&other) }, "no bands"),
        (SynthConfig { empty_fraction: 1.5, ..small(&other) }, "empty fraction 1.5"),
        (SynthConfig { positive_fraction: f64::NAN, ..small(&other) }, "positive fraction NaN"),
    ] {
        let text = synthesise(&broken).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"], "nothing half-written stays");
    std::fs::create_dir(&other).unwrap();
    synthesise(&small(&other)).unwrap(); // an empty folder is taken over
    DataFolder::open(&other, None).unwrap();
}

/// Area under the ROC curve of one value a pixel.
fn separation(scores: &mut [(f32, u8)]) -> f64 {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut negatives, mut wins, mut positives) = (0u64, 0u64, 0u64);
    for (_, label) in scores {
        if *label == 1 {
            positives += 1;
            wins += negatives;
        } else {
            negatives += 1;
        }
    }
    wins as f64 / (positives * negatives) as f64
}

#[test]
fn no_threshold_on_one_band_solves_the_synthetic_problem() {
    let directory = TempDir::new().unwrap();
    let dir = directory.path().join("data");
    synthesise(&SynthConfig { samples: 48, ..SynthConfig::new(&dir) }).unwrap();
    let folder = DataFolder::open(&dir, None).unwrap();
    let samples: Vec<_> = (0..folder.len()).map(|row| folder.read(row).unwrap()).collect();
    let pixels = 64 * 64;
    let auc = |value: &dyn Fn(&[f32], usize) -> f32| {
        let pairs = samples.iter().flat_map(|s| (0..pixels).map(|i| (value(&s.x, i), s.y[i])));
        separation(&mut pairs.filter(|(_, label)| *label != 2).collect::<Vec<_>>())
    };
    for band in 0..4 {
        let area = auc(&|x, i| x[band * pixels + i]);
        assert!((0.2..0.85).contains(&area), "band {band} alone: {area}");
    }
    let difference = auc(&|x, i| x[2 * pixels + i] - x[3 * pixels + i]);
    assert!((0.6..0.93).contains(&difference), "red less near infrared carries it, noisily: {difference}");
}

// ---- real data ----

#[test]
fn the_real_thaw_slumps_read_whole() {
    let Some(dir) = engine_tests::real_data().map(PathBuf::from) else { return };
    let folder = DataFolder::open(&dir, None).unwrap();
    assert_eq!((folder.len(), folder.shape()), (518, (6, 128, 128)));
    let report = validate(&folder, &settings(&dir)).unwrap();
    let counted = report.values.negative + report.values.positive;
    let share = report.values.positive as f64 / (counted + report.values.ignored) as f64;
    assert!((0.0055..0.0061).contains(&share), "0.58 % of the pixels are positive, found {share}");
    assert_eq!((report.all.regions.len(), report.all.negative), (6, 259));
    assert!(report.values.wrongly_empty.is_empty());
    assert!(!report.warnings.iter().any(|warning| warning.kind == WarningKind::SharedRegions));
    println!("{}", serde_json::to_string_pretty(&report.warnings).unwrap());
}
