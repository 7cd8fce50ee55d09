//! Figures as W&B keeps them: files of the run, a value in the row, and for charts a table's artifact and a panel.
//!
//! # Sources
//! Offline files of the official client 0.31.0; `wandb/sdk/artifacts/_internal_artifact.py` for the names of artifacts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::charts::{self, Chart, MAX_ARTIFACT_ROWS};
use super::folder::RunFolder;
use super::record::{Artifact, Manifest, ManifestEntry, StoragePolicyItem};
use crate::atomic;
use crate::figure::{Figure, FigureContent, ImageFile};

/// Pictures of one row that the server takes; further ones are left out.
const MAX_IMAGES: usize = 108;
/// Characters of an artifact's name that the server takes.
const MAX_NAME: usize = 128;
/// Characters of a file's hash that stand in its name.
const HASH_IN_NAME: usize = 20;
/// Characters of an artifact's id.
const ID_LENGTH: usize = 128;
/// What ids are made of.
const ID_LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Why a figure can not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// Its name would be a path out of the run's folder, or none.
    #[error("the figure's name {name:?} can be no path, use words with single slashes between them")]
    Name {
        /// The name.
        name: String,
    },
    /// A matrix does not fit its classes.
    #[error("the confusion matrix {name:?} needs {classes} rows and columns, as many as it names classes")]
    Matrix {
        /// Name of the figure.
        name: String,
        /// How many classes it names.
        classes: usize,
    },
    /// A picture can not be read.
    #[error("can not read the picture, leave it where it was drawn: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file can not be put into the run's folder.
    #[error("can not put the figure into the run's folder, check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A figure, ready to be logged.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Encoded {
    /// Values of the row and of the summary.
    pub(super) values: Map<String, Value>,
    /// Files of the run that are whole on disk, relative to `files/`.
    pub(super) files: Vec<String>,
    /// Tables; entity and project are the journal's to fill in.
    pub(super) artifacts: Vec<Artifact>,
    /// Panels by their key in `_wandb.visualize`.
    pub(super) config: Map<String, Value>,
}

/// A figure's place: the row it is logged in.
struct Place<'a> {
    folder: &'a RunFolder,
    run_id: &'a str,
    /// Name of the figure.
    key: &'a str,
    row_step: i64,
}

/// Name in the row of the table a chart is drawn from.
pub(super) fn table_name(figure: &str) -> String {
    format!("{figure}_table")
}

/// Puts a figure into the folder of its run and gives what to log: in the row, as files, as artifacts, as panels.
///
/// - One picture is an `image-file`; several are `images/separated`, as wide and high as the first, at most
///   [`MAX_IMAGES`]. They are linked, or copied where they can not be.
/// - A chart is a table under `{name}_table` and a panel `{name}`. Points that are not finite are left out, and of more
///   than [`charts::MAX_RUN_ROWS`] points evenly spaced ones are kept. A matrix of more pairs is drawn from its first.
///
/// Done twice, it leaves the same files of the run; the artifacts have fresh ids.
///
/// # Errors
/// [`MediaError`] if the name is no path, a picture is gone, or the disk refuses.
pub(super) fn encode(
    figure: &Figure,
    folder: &RunFolder,
    run_id: &str,
    row_step: i64,
) -> Result<Encoded, MediaError> {
    let key = figure.name.as_str();
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) || key.contains(['\\', '\0']) {
        return Err(MediaError::Name { name: key.to_owned() });
    }
    let place = Place { folder, run_id, key, row_step };
    match &figure.content {
        FigureContent::Images(pictures) => place.images(pictures),
        FigureContent::Roc(classes) => place.chart(charts::roc(key, classes)),
        FigureContent::PrecisionRecall(classes) => place.chart(charts::precision_recall(key, classes)),
        FigureContent::ConfusionMatrix { classes, counts } => {
            place.chart(charts::confusion_matrix(key, classes, counts)?)
        }
        FigureContent::Lines { x_name, series } => place.chart(charts::lines(key, x_name, series)),
    }
}

impl Place<'_> {
    fn images(&self, pictures: &[ImageFile]) -> Result<Encoded, MediaError> {
        if pictures.len() > MAX_IMAGES {
            tracing::warn!(
                figure = self.key,
                left_out = pictures.len() - MAX_IMAGES,
                "more pictures than a row takes"
            );
        }
        let pictures = &pictures[..pictures.len().min(MAX_IMAGES)];
        let kept = pictures.iter().map(|picture| self.image(picture)).collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(kept_first)) = (pictures.first(), kept.first()) else {
            return Ok(Encoded::default());
        };
        let captions = pictures.iter().any(|picture| !picture.caption.is_empty());
        let mut value = if let [only] = pictures {
            json!({
                "_type": "image-file", "sha256": kept_first.sha256, "size": kept_first.bytes, "path": kept_first.name,
                "format": "png", "width": only.width, "height": only.height,
            })
        } else {
            let names: Vec<&str> = kept.iter().map(|file| file.name.as_str()).collect();
            json!({
                "_type": "images/separated", "format": "png", "width": first.width, "height": first.height,
                "count": kept.len(), "filenames": names,
            })
        };
        if captions {
            let texts: Vec<&str> = pictures.iter().map(|picture| picture.caption.as_str()).collect();
            match texts.as_slice() {
                [only] => value["caption"] = json!(only),
                several => value["captions"] = json!(several),
            }
        }
        let mut files: Vec<String> = Vec::with_capacity(kept.len());
        for file in kept {
            // Pictures that are the same share a file.
            if !files.contains(&file.name) {
                files.push(file.name);
            }
        }
        Ok(Encoded { values: Map::from_iter([(self.key.to_owned(), value)]), files, ..Encoded::default() })
    }

    /// Links a picture into the run's files.
    fn image(&self, picture: &ImageFile) -> Result<Kept, MediaError> {
        let read = |source| MediaError::Read { path: picture.path.clone(), source };
        let mut hash = Sha256::new();
        let mut file = File::open(&picture.path).map_err(read)?;
        let bytes = io::copy(&mut file, &mut hash).map_err(read)?;
        let sha256 = hex(&hash.finalize());
        let name = self.file_name("images", "", &sha256, "png");
        let path = self.folder.files().join(&name);
        put(&path, |aside| match fs::hard_link(&picture.path, aside) {
            Err(_) => fs::copy(&picture.path, aside).map(drop),
            Ok(()) => Ok(()),
        })?;
        Ok(Kept { name, sha256, bytes })
    }

    fn chart(&self, chart: Chart) -> Result<Encoded, MediaError> {
        let key = table_name(self.key);
        let text = chart.table.run_file();
        let sha256 = hex(&Sha256::digest(&text));
        let file = self.file_name("table", "_table", &sha256, "table.json");
        put(&self.folder.files().join(&file), |aside| fs::write(aside, &text))?;
        let entry = format!("{key}.table.json");
        let artifact = self.artifact(&key, &entry, &chart.table.artifact_file())?;
        let value = json!({
            "_type": "table-file", "sha256": sha256, "size": text.len(), "path": file,
            "ncols": chart.table.columns.len(), "nrows": chart.table.rows.len().min(MAX_ARTIFACT_ROWS),
            "log_mode": "IMMUTABLE",
            "artifact_path": format!("wandb-client-artifact://{}/{entry}", artifact.client_id),
            "_latest_artifact_path":
                format!("wandb-client-artifact://{}:latest/{entry}", artifact.sequence_client_id),
        });
        Ok(Encoded {
            values: Map::from_iter([(key, value)]),
            files: vec![file],
            artifacts: vec![artifact],
            config: Map::from_iter([(self.key.to_owned(), chart.panel)]),
        })
    }

    /// An artifact of one file, which is written below `artifacts/`.
    fn artifact(&self, key: &str, entry: &str, text: &str) -> Result<Artifact, MediaError> {
        let name = artifact_name(&format!("run-{}-{key}", self.run_id));
        let path = self.folder.artifacts().join(format!("{name}_{}.table.json", self.row_step));
        let path = std::path::absolute(&path).map_err(|source| MediaError::Write { path, source })?;
        put(&path, |aside| fs::write(aside, text))?;
        let file_digest = STANDARD.encode(Md5::digest(text));
        let digest = hex(&Md5::digest(format!("wandb-artifact-manifest-v1\n{entry}:{file_digest}\n")));
        let layout = StoragePolicyItem { key: "storageLayout".into(), value_json: "\"V2\"".into() };
        let contents = ManifestEntry {
            path: entry.to_owned(),
            digest: file_digest,
            size: i64::try_from(text.len()).unwrap_or(i64::MAX),
            local_path: path.to_string_lossy().into_owned(),
            ..ManifestEntry::default()
        };
        Ok(Artifact {
            run_id: self.run_id.to_owned(),
            r#type: "run_table".into(),
            name,
            digest,
            aliases: vec!["latest".into()],
            manifest: Some(Manifest {
                version: 1,
                storage_policy: "wandb-storage-policy-v1".into(),
                storage_policy_config: vec![layout],
                contents: vec![contents],
            }),
            finalize: true,
            client_id: client_id(),
            sequence_client_id: client_id(),
            digest_algorithm: "MANIFEST_MD5".into(),
            ..Artifact::default()
        })
    }

    /// `media/{kind}/{key}{ending}_{step}_{hash}.{extension}`.
    fn file_name(&self, kind: &str, ending: &str, sha256: &str, extension: &str) -> String {
        let (key, step, hash) = (self.key, self.row_step, &sha256[..HASH_IN_NAME]);
        format!("media/{kind}/{key}{ending}_{step}_{hash}.{extension}")
    }
}

/// A file of the run.
struct Kept {
    name: String,
    sha256: String,
    bytes: u64,
}

/// Gives a file its name in one step, once `fill` made it aside: a name never stands for half a file. Nothing waits for
/// the disk.
fn put(path: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), MediaError> {
    let done = || {
        let aside = atomic::aside(path).map_err(io::Error::other)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let placed = fill(&aside).and_then(|()| fs::rename(&aside, path));
        // Also after a rename onto another link of the same file, which does nothing and leaves both names.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => placed.and(Err(error)),
            _ => placed,
        }
    };
    done().map_err(|source| MediaError::Write { path: path.to_owned(), source })
}

/// A name the server takes: letters, digits, `_`, `-`, `.`, at most [`MAX_NAME`]. One that had to be changed ends in a
/// checksum of what it was, as the official client's do, so that two names stay two.
fn artifact_name(name: &str) -> String {
    let allowed = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let kept: String = name.chars().filter(allowed).collect();
    if kept == name && kept.len() <= MAX_NAME {
        return kept;
    }
    let sum = URL_SAFE_NO_PAD.encode(crc32fast::hash(name.as_bytes()).to_be_bytes());
    // Bytes are letters here.
    let most = MAX_NAME - 1 - sum.len();
    format!("{}-{sum}", &kept[..kept.len().min(most)])
}

/// An id that nobody else draws.
fn client_id() -> String {
    (0..ID_LENGTH).map(|_| char::from(ID_LETTERS[rand::random_range(0..ID_LETTERS.len())])).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
