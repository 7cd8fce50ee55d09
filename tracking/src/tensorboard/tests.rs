use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use prost::Message as _;
use serde_json::json;

use super::proto::{HparamKind, HparamsContent, HparamsData};
use super::*;
use crate::figure::{ImageFile, Series};

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

fn point(epoch: u32, step: u64, values: &[(&str, f64)]) -> MetricPoint {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    MetricPoint { epoch, step, values }
}

/// What a reader finds: whole records, each checked against both of its checksums, up to the first that is not whole.
fn read(bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = bytes;
    while let Some((header, behind)) = rest.split_at_checked(12) {
        let (length, crc) = header.split_at(8);
        assert_eq!(records::masked_crc(length).to_le_bytes(), crc, "checksum of a length");
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some((data, behind)) = behind.split_at_checked(length) else { break };
        let Some((crc, behind)) = behind.split_at_checked(4) else { break };
        assert_eq!(records::masked_crc(data).to_le_bytes(), crc, "checksum of a record");
        events.push(Event::decode(data).unwrap());
        rest = behind;
    }
    events
}

fn read_file(path: &Path) -> Vec<Event> {
    read(&fs::read(path).unwrap())
}

fn values(event: &Event) -> &[SummaryValue] {
    match &event.content {
        Some(Content::Summary(summary)) => &summary.value,
        other => panic!("no summary: {other:?}"),
    }
}

fn scalars(event: &Event) -> BTreeMap<&str, f32> {
    let scalar = |value: &SummaryValue| match &value.value {
        Some(Datum::SimpleValue(number)) => *number,
        other => panic!("no scalar: {other:?}"),
    };
    values(event).iter().map(|value| (value.tag.as_str(), scalar(value))).collect()
}

/// The check value of CRC-32C, masked as TensorFlow masks it.
#[test]
fn checksums_are_tensorflows() {
    assert_eq!(records::masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
}

#[test]
fn the_name_and_the_first_record_are_what_readers_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("made/on/the/way");
    let file = EventFile::create(&place, at(1_795_380_000.5)).unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("events.out.tfevents.1795380000."), "{name}");
    assert!(name.contains(&format!(".{}.", process::id())), "{name}");
    let events = read_file(file.path());
    let [first] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(first.content, Some(Content::FileVersion("brain.Event:2".into())));
    assert_eq!((first.wall_time, first.step), (1_795_380_000.5, 0));
    // A further attempt within the same second.
    let other = EventFile::create(&place, at(1_795_380_000.5)).unwrap();
    assert_ne!(other.path(), file.path());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
}

#[test]
fn values_stand_at_their_steps_with_their_epoch_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path(), at(1.0)).unwrap();
    let points = [
        point(0, 10, &[("train/loss", 0.5), ("nan", f64::NAN)]),
        point(0, 10, &[("val/loss", f64::INFINITY)]),
        point(1, 20, &[]),
        point(1, 20, &[("val/loss", -1e300)]),
    ];
    file.points(&points[..1], at(2.0)).unwrap();
    file.points(&points[1..], at(3.25)).unwrap();
    file.points(&[], at(4.0)).unwrap();
    let mut sample = Metrics::new();
    file.system(&sample, 20, at(4.0)).unwrap();
    sample.insert("gpu.0.temp".into(), 61.0);
    file.system(&sample, 20, at(5.0)).unwrap();

    let events = read_file(file.path());
    let places: Vec<(f64, i64)> = events[1..].iter().map(|event| (event.wall_time, event.step)).collect();
    assert_eq!(places, [(2.0, 10), (3.25, 10), (3.25, 20), (5.0, 20)]);
    let first = scalars(&events[1]);
    assert_eq!(first.keys().collect::<Vec<_>>(), [&"epoch", &"nan", &"train/loss"]);
    assert!(first["nan"].is_nan() && first["train/loss"] == 0.5 && first["epoch"] == 0.0);
    assert_eq!(scalars(&events[2]), BTreeMap::from([("val/loss", f32::INFINITY)]));
    assert_eq!(scalars(&events[3]), BTreeMap::from([("epoch", 1.0), ("val/loss", f32::NEG_INFINITY)]));
    assert_eq!(scalars(&events[4]), BTreeMap::from([("system/gpu.0.temp", 61.0)]));
}

#[test]
fn pictures_stand_as_they_are_and_charts_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |name: &str, color, bytes: usize, caption: &str| {
        let path = folder.path().join(name);
        let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 5, 3);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(&vec![9; 15 * bytes]).unwrap();
        ImageFile { path, width: 5, height: 3, caption: caption.into() }
    };
    let rgb = picture("rgb.png", png::ColorType::Rgb, 3, "first");
    let grey = picture("grey.png", png::ColorType::Grayscale, 1, "");
    let figure = |name: &str, content| Figure { name: name.into(), epoch: 0, step: 7, content };
    let figures = [
        figure("one", FigureContent::Images(vec![rgb.clone()])),
        figure("roc", FigureContent::Roc(vec![Series::default()])),
        figure("two", FigureContent::Images(vec![rgb.clone(), grey.clone()])),
    ];
    let mut file = EventFile::create(&folder.path().join("board"), at(1.0)).unwrap();
    file.figures(&figures, at(2.0)).unwrap();
    let events = read_file(file.path());
    let found: Vec<_> = events[1..]
        .iter()
        .map(|event| {
            let [value] = values(event) else { panic!("{event:?}") };
            let Some(Datum::Image(image)) = &value.value else { panic!("{value:?}") };
            assert_eq!((event.step, image.width, image.height), (7, 5, 3));
            let description = value.metadata.as_ref().unwrap().summary_description.as_str();
            (value.tag.as_str(), image.colorspace, description, image.encoded_image_string.clone())
        })
        .collect();
    let (rgb, grey) = (fs::read(rgb.path).unwrap(), fs::read(grey.path).unwrap());
    assert_eq!(found, [("one", 3, "first", rgb.clone()), ("two/0", 3, "first", rgb), ("two/1", 1, "", grey)]);

    let text = folder.path().join("text.png");
    fs::write(&text, "no picture").unwrap();
    for (path, expected) in [(text, "no PNG"), (folder.path().join("gone.png"), "can not read")] {
        let image = ImageFile { path: path.clone(), width: 1, height: 1, caption: String::new() };
        let error = file.figures(&[figure("bad", FigureContent::Images(vec![image]))], at(3.0)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected) && error.contains(path.to_str().unwrap()), "{error}");
    }
    assert_eq!(read_file(file.path()), events, "nothing is written of a picture that can not be had");
}

#[test]
fn hyperparameters_keep_their_types_and_the_end_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let given =
        json!({"lr": 1e-3, "arch": "Unet", "flag": true, "none": null, "list": ["a", 1], "big": u64::MAX});
    let given = given.as_object().unwrap();
    for (status, expected) in [("complete", 1), ("failed", 2), ("cancelled", 0)] {
        let mut file = EventFile::create(&folder.path().join(status), at(1.0)).unwrap();
        let path = file.path().to_owned();
        file.hyperparameters(given, &["val/JaccardIndex".into()], at(2.0)).unwrap();
        file.close(status, at(3.0)).unwrap();
        let events = read_file(&path);
        assert_eq!(events.len(), 3);
        let found: Vec<(&str, HparamsContent)> = events[1..]
            .iter()
            .flat_map(values)
            .map(|value| {
                let plugin = value.metadata.as_ref().unwrap().plugin_data.as_ref().unwrap();
                assert_eq!(plugin.plugin_name, "hparams");
                let data = HparamsData::decode(plugin.content.as_slice()).unwrap();
                (value.tag.as_str(), data.data.unwrap())
            })
            .collect();
        let [
            ("_hparams_/experiment", HparamsContent::Experiment(experiment)),
            ("_hparams_/session_start_info", HparamsContent::SessionStart(start)),
            ("_hparams_/session_end_info", HparamsContent::SessionEnd(end)),
        ] = found.as_slice()
        else {
            panic!("{found:?}")
        };
        let columns: Vec<_> =
            experiment.hparam_infos.iter().map(|info| (info.name.as_str(), info.r#type)).collect();
        assert_eq!(columns, [("lr", 3), ("arch", 1), ("flag", 2), ("none", 1), ("list", 1), ("big", 3)]);
        assert_eq!(experiment.metric_infos[0].name.as_ref().unwrap().tag, "val/JaccardIndex");
        let text = |text: &str| Some(HparamKind::Text(text.into()));
        let kinds = ["lr", "arch", "flag", "none", "list"].map(|name| start.hparams[name].kind.clone());
        assert_eq!(
            kinds,
            [
                Some(HparamKind::Number(1e-3)),
                text("Unet"),
                Some(HparamKind::Flag(true)),
                text("none"),
                text(r#"["a",1]"#)
            ]
        );
        assert_eq!((end.status, end.end_time_secs, start.start_time_secs), (expected, 3.0, 2.0));
    }
}

/// However a file is cut, what comes before the cut is read.
#[test]
fn a_torn_file_keeps_its_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path(), at(1.0)).unwrap();
    let mut ends = vec![fs::metadata(file.path()).unwrap().len()];
    for step in 0..3 {
        file.points(&[point(0, step, &[("a", 1.0)])], at(2.0)).unwrap();
        ends.push(fs::metadata(file.path()).unwrap().len());
    }
    let bytes = fs::read(file.path()).unwrap();
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(read(&bytes[..cut]).len(), whole, "cut at {cut}");
    }
}

/// `/dev/full` refuses every byte as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let full = fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    let mut file = EventFile { file: RecordFile::of("/dev/full".into(), full), place: None, has_past: false };
    let refused = file.points(&[point(0, 1, &[("a", 1.0)])], at(1.0)).unwrap_err();
    assert!(
        matches!(&refused, EventFileError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    );
    assert!(refused.to_string().contains("/dev/full"), "{refused}");
    assert_eq!(file.place, None, "what was not written does not count");
}

#[test]
fn what_an_interrupted_call_left_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path(), at(1.0)).unwrap();
    let path = file.path().to_owned();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"half a rec").unwrap();
    file.file.tear();
    file.points(&[point(0, 1, &[("a", 1.0)])], at(2.0)).unwrap();
    file.close("complete", at(3.0)).unwrap();
    assert_eq!(read_file(&path).len(), 3);
}

#[test]
fn where_a_run_goes_on_its_further_steps_are_out_of_date() {
    let folder = tempfile::tempdir().unwrap();
    let place = |epoch, step| Some(RunPlace { epoch, step });
    let mut file = EventFile::create(folder.path(), at(1.0)).unwrap();
    assert!(!file.go_on_from(None, at(1.0)).unwrap(), "nothing was written yet");
    file.points(&[point(0, 1, &[("loss", 0.5)]), point(0, 2, &[("loss", 0.25)])], at(1.0)).unwrap();
    assert!(file.go_on_from(place(0, 2), at(2.0)).unwrap(), "a further attempt in the same engine");
    file.points(&[point(0, 2, &[("loss", 0.25)])], at(2.0)).unwrap();
    let events = read_file(file.path());
    let starts: Vec<_> =
        events.iter().filter(|event| event.content == Some(Content::SessionLog(SessionLog::START))).collect();
    assert_eq!(starts.len(), 1);
    assert_eq!((starts[0].step, starts[0].wall_time), (2, 2.0));
    assert_eq!(scalars(events.last().unwrap())["epoch"], 0.0, "the place is told again");
    let mut next = EventFile::create(folder.path(), at(3.0)).unwrap();
    assert!(next.go_on_from(None, at(3.0)).unwrap(), "a file beside it is a past");
    assert_eq!(read_file(next.path())[1].step, 0);
}
