//! Training data folders made odd or bad by hand.

use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rewrites a JSON file.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// Columns of a table, by name.
pub type Columns = Vec<(String, arrow::array::ArrayRef)>;

/// The metadata of a folder as columns, changed and written again.
pub fn edit_table(dir: &Path, edit: impl FnOnce(Columns) -> Columns) {
    let path = dir.join("metadata.parquet");
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batch = reader.collect::<Result<Vec<_>, _>>().unwrap().remove(0);
    let schema = batch.schema();
    let columns = schema.fields().iter().map(|field| field.name().clone()).zip(batch.columns().to_vec());
    let batch = arrow::array::RecordBatch::try_from_iter(edit(columns.collect())).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Array `x` or `y` as zarr v2 without compression, written byte by byte: chunks of `chunk` samples.
pub fn write_v2(dir: &Path, name: &str, dtype: &str, shape: &[usize], chunk: usize, bytes: &[u8]) {
    let path = dir.join("data.zarr").join(name);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir_all(&path).unwrap();
    let mut chunks = shape.to_vec();
    chunks[0] = chunk;
    let meta = serde_json::json!({
        "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "compressor": null,
        "fill_value": 0, "order": "C", "filters": null
    });
    std::fs::write(path.join(".zarray"), meta.to_string()).unwrap();
    let item = bytes.len() / shape[0];
    for (number, part) in bytes.chunks(item * chunk).enumerate() {
        let mut part = part.to_vec();
        part.resize(item * chunk, 0xff); // beyond the array's end: never read
        let zeros = ".0".repeat(shape.len() - 1);
        std::fs::write(path.join(format!("{number}{zeros}")), part).unwrap();
    }
}
