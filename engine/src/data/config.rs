//! `config.toml`: which bands the arrays hold.

use std::path::Path;

use serde::Deserialize;

use super::error::DataError;
use crate::folds::nearest::nearest;

/// The part of `config.toml` that reading needs; whatever else preprocessing noted is left alone.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    darts: Option<Darts>,
}

#[derive(Debug, Deserialize)]
struct Darts {
    bands: Option<Vec<String>>,
    patch_size: Option<u64>,
}

/// What `config.toml` says.
#[derive(Debug)]
pub(super) struct FolderConfig {
    /// Names of x's channels, in order.
    pub(super) bands: Vec<String>,
    /// Height and width of a sample, if noted.
    pub(super) patch_size: Option<u64>,
}

impl FolderConfig {
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(DataError::Missing {
                    what: "config.toml",
                    remedy: "point train-data-dir at a folder made by preprocessing",
                    path: path.into(),
                });
            }
            Err(source) => {
                return Err(DataError::Io { action: "read config.toml", path: path.into(), source });
            }
        };
        let file: ConfigFile = toml::from_str(&text).map_err(|error| DataError::ConfigSyntax {
            reason: error.to_string().trim_end().replace('\n', " "),
            path: path.into(),
        })?;
        let value = |what: &str| DataError::ConfigValue { what: what.into(), path: path.into() };
        let darts = file.darts.ok_or_else(|| value("table [darts] is missing"))?;
        let bands = darts.bands.ok_or_else(|| value("`bands` is missing"))?;
        if bands.is_empty() {
            return Err(value("`bands` is empty"));
        }
        if let Some(band) = bands.iter().enumerate().find(|(i, band)| bands[..*i].contains(band)) {
            return Err(value(&format!("`bands` names `{}` twice", band.1)));
        }
        Ok(Self { bands, patch_size: darts.patch_size })
    }

    /// Channel numbers of the bands asked for, in the order asked; all of them if none are named.
    pub(super) fn select(&self, asked: Option<&[String]>, path: &Path) -> Result<Vec<usize>, DataError> {
        let Some(asked) = asked else { return Ok((0..self.bands.len()).collect()) };
        if asked.is_empty() {
            return Err(DataError::NoBands { path: path.into() });
        }
        let mut channels = Vec::with_capacity(asked.len());
        for band in asked {
            let channel =
                self.bands.iter().position(|known| known == band).ok_or_else(|| DataError::UnknownBand {
                    band: band.clone(),
                    nearest: nearest(band, self.bands.iter().map(String::as_str)).map(str::to_owned),
                    available: self.bands.clone(),
                    path: path.into(),
                })?;
            if channels.contains(&channel) {
                return Err(DataError::RepeatedBand { band: band.clone(), path: path.into() });
            }
            channels.push(channel);
        }
        Ok(channels)
    }
}
