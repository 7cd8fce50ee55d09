use std::os::unix::fs::MetadataExt;

use super::*;
use crate::figure::Series;

fn folder(dir: &tempfile::TempDir) -> RunFolder {
    RunFolder { path: dir.path().join("wandb/run-20261122_204613-abcd1234"), run_id: "abcd1234".into() }
}

fn figure(name: &str, content: FigureContent) -> Figure {
    Figure { name: name.into(), epoch: 2, step: 30, content }
}

/// A PNG of one colour.
fn picture(dir: &Path, name: &str, shade: u8, caption: &str) -> ImageFile {
    let path = dir.join(name);
    let mut encoder = png::Encoder::new(File::create(&path).unwrap(), 6, 4);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[shade; 6 * 4 * 3]).unwrap();
    ImageFile { path, width: 6, height: 4, caption: caption.into() }
}

fn files_below(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path_of = entry.unwrap().path();
            if path_of.is_dir() {
                folders.push(path_of);
            } else {
                found.push(path_of.strip_prefix(path).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn one_picture_is_linked_into_the_run_and_named_by_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, image) = (folder(&dir), picture(dir.path(), "a.png", 7, "a caption"));
    let bytes = fs::read(&image.path).unwrap();
    let sha256 = hex(&Sha256::digest(&bytes));
    let drawn = figure("val/one", FigureContent::Images(vec![image.clone()]));
    let encoded = encode(&drawn, &folder, "abcd1234", 12).unwrap();
    let name = format!("media/images/val/one_12_{}.png", &sha256[..20]);
    assert_eq!(encoded.files, [name.as_str()]);
    assert_eq!(
        Value::Object(encoded.values.clone()),
        json!({"val/one": {
            "_type": "image-file", "sha256": sha256, "size": bytes.len(), "path": name, "format": "png",
            "width": 6, "height": 4, "caption": "a caption",
        }})
    );
    assert!(encoded.artifacts.is_empty() && encoded.config.is_empty());
    let kept = folder.files().join(&name);
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    assert_eq!(
        fs::metadata(&kept).unwrap().ino(),
        fs::metadata(&image.path).unwrap().ino(),
        "no bytes are copied"
    );
    // Twice is as good as once, and leaves nothing aside.
    assert_eq!(encode(&drawn, &folder, "abcd1234", 12).unwrap(), encoded);
    assert_eq!(files_below(&folder.files()), [name]);
}

#[test]
fn several_pictures_are_one_value_and_the_same_picture_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(&dir);
    let images = vec![
        picture(dir.path(), "a.png", 1, "first"),
        picture(dir.path(), "b.png", 2, ""),
        picture(dir.path(), "c.png", 1, "third"),
    ];
    let encoded = encode(&figure("val/samples", FigureContent::Images(images)), &folder, "r", 0).unwrap();
    let value = &encoded.values["val/samples"];
    assert_eq!(value["_type"], "images/separated");
    assert_eq!((&value["count"], &value["width"], &value["height"]), (&json!(3), &json!(6), &json!(4)));
    assert_eq!(value["captions"], json!(["first", "", "third"]));
    assert_eq!(value["filenames"][0], value["filenames"][2]);
    assert_eq!(encoded.files.len(), 2);
    for name in &encoded.files {
        assert!(folder.files().join(name).is_file(), "{name}");
    }
    let none = encode(&figure("val/none", FigureContent::Images(vec![])), &folder, "r", 0).unwrap();
    assert_eq!(none, Encoded::default());
}

#[test]
fn pictures_beyond_what_a_row_takes_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(&dir);
    let image = picture(dir.path(), "a.png", 1, "");
    let images = vec![image; MAX_IMAGES + 1];
    let encoded = encode(&figure("many", FigureContent::Images(images)), &folder, "r", 0).unwrap();
    assert_eq!(encoded.values["many"]["count"], json!(MAX_IMAGES));
    assert_eq!(encoded.values["many"].get("captions"), None);
}

#[test]
fn a_chart_is_a_table_an_artifact_and_a_panel_that_point_at_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(&dir);
    let line = Series { name: "p".into(), x: vec![0.0, 0.5, 1.0], y: vec![0.0, 0.7, 1.0] };
    let encoded = encode(&figure("val/roc", FigureContent::Roc(vec![line])), &folder, "abcd1234", 4).unwrap();
    let [file] = encoded.files.as_slice() else { panic!("{:?}", encoded.files) };
    let text = fs::read_to_string(folder.files().join(file)).unwrap();
    let sha256 = hex(&Sha256::digest(&text));
    assert_eq!(*file, format!("media/table/val/roc_table_4_{}.table.json", &sha256[..20]));

    let [artifact] = encoded.artifacts.as_slice() else { panic!("{:?}", encoded.artifacts) };
    assert_eq!(artifact.name, artifact_name("run-abcd1234-val/roc_table"));
    assert_eq!((artifact.r#type.as_str(), artifact.finalize), ("run_table", true));
    assert_eq!(artifact.aliases, ["latest"]);
    let manifest = artifact.manifest.as_ref().unwrap();
    let [entry] = manifest.contents.as_slice() else { panic!("{manifest:?}") };
    assert_eq!(entry.path, "val/roc_table.table.json");
    assert!(Path::new(&entry.local_path).is_absolute() && entry.local_path.contains("/artifacts/"));
    let kept = fs::read(&entry.local_path).unwrap();
    assert_eq!(entry.size, kept.len() as i64);
    assert_eq!(entry.digest, STANDARD.encode(Md5::digest(&kept)));
    let ids = [&artifact.client_id, &artifact.sequence_client_id];
    assert!(ids.iter().all(|id| id.len() == 128 && id.bytes().all(|byte| ID_LETTERS.contains(&byte))));
    assert_ne!(ids[0], ids[1]);

    let value = &encoded.values["val/roc_table"];
    assert_eq!(
        *value,
        json!({
            "_type": "table-file", "sha256": sha256, "size": text.len(), "path": file, "ncols": 3, "nrows": 3,
            "log_mode": "IMMUTABLE",
            "artifact_path": format!("wandb-client-artifact://{}/val/roc_table.table.json", ids[0]),
            "_latest_artifact_path": format!("wandb-client-artifact://{}:latest/val/roc_table.table.json", ids[1]),
        })
    );
    let panel = &encoded.config["val/roc"]["panel_config"];
    let fields = &panel["userQuery"]["queryFields"][0]["fields"];
    assert_eq!(fields[3]["args"][0]["value"], "val/roc_table");
}

/// Names and digest that the official client 0.31.0 made.
#[test]
fn names_and_digests_of_artifacts_are_the_official_clients() {
    for (name, official) in [
        ("run-vfbp5lm2-val/roc_table", "run-vfbp5lm2-valroc_table-VmyrCA"),
        ("run-vfbp5lm2-val/cm_table", "run-vfbp5lm2-valcm_table-sPwu9w"),
        ("run-vfbp5lm2-val/ln_table", "run-vfbp5lm2-valln_table-WDQmxg"),
        ("run-a-b.c_d", "run-a-b.c_d"),
    ] {
        assert_eq!(artifact_name(name), official);
    }
    let long = artifact_name(&format!("run-{}", "x".repeat(200)));
    assert_eq!(long.len(), MAX_NAME);
    assert_ne!(long, artifact_name(&format!("run-{}", "x".repeat(201))));
    let digest =
        Md5::digest("wandb-artifact-manifest-v1\nval/roc_table.table.json:h+CwX0EI0MMgPSgbTAbGJg==\n");
    assert_eq!(hex(&digest), "ba74d15d9dbc7f95dc8323c92aa39642");
}

#[test]
fn a_name_that_leads_out_of_the_folder_and_a_picture_that_is_gone_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(&dir);
    for name in ["", "/etc/x", "../x", "a//b", "a/../b", "a/", "a\\b", "a\0b"] {
        let refused = encode(&figure(name, FigureContent::Roc(vec![])), &folder, "r", 0);
        assert!(matches!(refused, Err(MediaError::Name { .. })), "{name:?}");
    }
    assert!(!folder.path.exists());
    let gone = ImageFile { path: dir.path().join("gone.png"), width: 1, height: 1, caption: String::new() };
    let refused = encode(&figure("a", FigureContent::Images(vec![gone])), &folder, "r", 0).unwrap_err();
    assert!(refused.to_string().contains("gone.png"), "{refused}");
}
