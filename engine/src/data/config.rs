//! `config.toml`: which bands the arrays hold.

use std::path::Path;

use serde::Deserialize;

use super::error::DataError;

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
            Err(source) => return Err(DataError::Io { action: "read config.toml", path: path.into(), source }),
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
            let channel = self.bands.iter().position(|known| known == band).ok_or_else(|| {
                DataError::UnknownBand {
                    band: band.clone(),
                    nearest: nearest(band, &self.bands),
                    available: self.bands.clone(),
                    path: path.into(),
                }
            })?;
            if channels.contains(&channel) {
                return Err(DataError::RepeatedBand { band: band.clone(), path: path.into() });
            }
            channels.push(channel);
        }
        Ok(channels)
    }
}

/// The name spelled most like `word`, if one is near enough to be a slip of the pen.
fn nearest(word: &str, names: &[String]) -> Option<String> {
    let word = word.to_lowercase();
    names
        .iter()
        .map(|name| (edits(&word, &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits * 2 <= name.chars().count().max(2))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name.clone())
}

/// Insertions, deletions and substitutions from `a` to `b`.
///
/// # Sources
/// Wagner and Fischer 1974, The String-to-String Correction Problem.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "nir"), 3);
        assert_eq!(edits("nir", "nir"), 0);
    }

    #[test]
    fn a_slip_finds_its_band_and_a_stranger_none() {
        let names = ["green", "nir", "slope"].map(String::from);
        assert_eq!(nearest("gren", &names).as_deref(), Some("green"));
        assert_eq!(nearest("NIR", &names).as_deref(), Some("nir"));
        assert_eq!(nearest("temperature", &names), None);
    }
}
