//! Which image goes with which mask, and which region both are of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::raster::ENDINGS;
use super::BuildRequest;
use super::error::BuildError;

/// Bytes of a table of regions at the most.
const MAX_TABLE_BYTES: u64 = 64 << 20;
/// Folders below each other that are looked into.
const MAX_DEPTH: usize = 16;

/// An image with its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Name both have in common, with the sub-folders of the image.
    pub(super) name: String,
    pub(super) region: String,
    pub(super) image: PathBuf,
    pub(super) mask: PathBuf,
}

/// Finds the pairs of two folders, by name.
///
/// A mask lies in the same sub-folder of its folder as the image in its own, or it alone has the image's name.
pub(super) fn find(request: &BuildRequest) -> Result<Vec<Pair>, BuildError> {
    let images = named(&request.images, &request.image_suffix, "images")?;
    if images.is_empty() {
        return Err(BuildError::NoImages {
            suffix: request.image_suffix.clone(),
            endings: ENDINGS.join(", "),
            path: request.images.clone(),
        });
    }
    let mut masks = named(&request.masks, &request.mask_suffix, "masks")?;
    let regions =
        request.regions.as_deref().map(|table| Regions::read(table, &request.region_column)).transpose()?;
    let (mut pairs, mut alone) = (Vec::with_capacity(images.len()), Vec::new());
    for (name, image) in images {
        let by_stem = || {
            let stem = stem(&name);
            let mut same = masks.keys().filter(|other| *other == stem);
            same.next().cloned()
        };
        let key = if masks.contains_key(&name) { Some(name.clone()) } else { by_stem() };
        let Some(mask) = key.and_then(|key| masks.remove(&key)) else {
            alone.push(image);
            continue;
        };
        let region = match &regions {
            Some(regions) => regions.of(stem(&name), &image)?,
            None => region(&name, &request.images),
        };
        pairs.push(Pair { name, region, image, mask });
    }
    let no_partner = |what, alone: &[PathBuf], path: &Path| BuildError::NoPartner {
        what,
        count: alone.len(),
        first: alone.first().map(|first| first.display().to_string()).unwrap_or_default(),
        path: path.into(),
    };
    if !alone.is_empty() {
        return Err(no_partner("images", &alone, &request.images));
    }
    let alone: Vec<PathBuf> = masks.into_values().collect();
    if !alone.is_empty() {
        return Err(no_partner("masks", &alone, &request.masks));
    }
    Ok(pairs)
}

/// The last part of a name.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The first sub-folder; the folder of the images itself where there is none.
fn region(name: &str, images: &Path) -> String {
    match name.split_once('/') {
        Some((first, _)) => first.to_owned(),
        None => {
            let whole = std::path::absolute(images).unwrap_or_else(|_| images.to_owned());
            whole.file_name().map_or_else(|| "all".to_owned(), |name| name.to_string_lossy().into_owned())
        }
    }
}

/// Files of a folder that end as asked, by sub-folder and stem without the suffix, sorted.
fn named(folder: &Path, suffix: &str, what: &'static str) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    let mut found = BTreeMap::new();
    walk(folder, "", 0, &mut |below, path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { return Ok(()) };
        let Some(stem) = stem.strip_suffix(suffix).filter(|stem| !stem.is_empty()) else { return Ok(()) };
        if !ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) || stem.starts_with('.') {
            return Ok(());
        }
        let name = format!("{below}{stem}");
        match found.insert(name.clone(), path.to_owned()) {
            None => Ok(()),
            Some(first) => Err(BuildError::Twice { what, name, first, second: path.to_owned() }),
        }
    })?;
    Ok(found)
}

fn walk(
    folder: &Path,
    below: &str,
    depth: usize,
    each: &mut dyn FnMut(&str, &Path) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let refused = |source| BuildError::Unreadable { action: "list the folder", path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(refused)?;
    let mut entries = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(refused)?;
    // Of two files of one name the same one is told everywhere.
    entries.sort();
    for path in entries {
        if !path.is_dir() {
            each(below, &path)?;
        } else if depth < MAX_DEPTH
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            walk(&path, &format!("{below}{name}/"), depth + 1, each)?;
        }
    }
    Ok(())
}

/// Regions by image, from a table.
struct Regions<'a> {
    by_image: BTreeMap<String, String>,
    path: &'a Path,
}

impl<'a> Regions<'a> {
    /// Reads comma-separated values with a head: a column `image`, with or without ending, and that of the regions.
    fn read(path: &'a Path, column: &str) -> Result<Self, BuildError> {
        let wrong = |what: String| BuildError::Regions { what, path: path.into() };
        let refused = |source| BuildError::Unreadable {
            action: "read the table of regions",
            path: path.into(),
            source,
        };
        if std::fs::metadata(path).map_err(refused)?.len() > MAX_TABLE_BYTES {
            return Err(wrong(format!("the table has more than {} MiB", MAX_TABLE_BYTES >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(refused)?;
        let mut rows = records(&text).into_iter();
        let head = rows.next().unwrap_or_default();
        let place = |column: &str| {
            let place = head.iter().position(|name| name.trim() == column);
            place.ok_or_else(|| wrong(format!("it has no column `{column}` but {}", head.join(", "))))
        };
        let (image, region) = (place("image")?, place(column)?);
        let mut by_image = BTreeMap::new();
        for (number, row) in rows.enumerate() {
            let (Some(image), Some(region)) = (row.get(image), row.get(region)) else {
                return Err(wrong(format!("record {} lacks a value", number + 2)));
            };
            let image = without_ending(image.trim()).to_owned();
            let region = region.trim().to_owned();
            if region.is_empty() {
                return Err(wrong(format!("image `{image}` has no region")));
            }
            if let Some(other) =
                by_image.insert(image.clone(), region.clone()).filter(|other| *other != region)
            {
                return Err(wrong(format!("image `{image}` is in two regions, {other} and {region}")));
            }
        }
        Ok(Self { by_image, path })
    }

    /// By the name of the file, or by what it has in common with its mask.
    fn of(&self, stem: &str, image: &Path) -> Result<String, BuildError> {
        let file = image.file_stem().unwrap_or_default().to_string_lossy();
        let region = self.by_image.get(file.as_ref()).or_else(|| self.by_image.get(stem));
        region.cloned().ok_or_else(|| BuildError::Regions {
            what: format!("it does not name image `{file}`"),
            path: self.path.into(),
        })
    }
}

/// A name without the ending of an image, if it has one.
fn without_ending(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending.to_lowercase().as_str()) => stem,
        _ => name,
    }
}

/// Records of comma-separated values; a value in quotation marks may hold commas, line ends and doubled marks.
///
/// # Sources
/// RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut value) = (Vec::new(), Vec::new(), String::new());
    let mut is_quoted = false;
    let mut letters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, is_quoted) {
            ('"', true) if letters.peek() == Some(&'"') => {
                letters.next();
                value.push('"');
            }
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => record.push(std::mem::take(&mut value)),
            ('\n', false) => {
                record.push(std::mem::take(&mut value));
                records.push(std::mem::take(&mut record));
            }
            ('\r', false) => {}
            (letter, _) => value.push(letter),
        }
    }
    if !value.is_empty() || !record.is_empty() {
        record.push(value);
        records.push(record);
    }
    // A line without anything is none.
    records.retain(|record| record.iter().any(|value| !value.is_empty()));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_quotation_marks_hold_what_separates_others() {
        let text = "\u{feff}image,region\r\n\"a,1\",\"the \"\"north\"\"\"\n\nb,\n";
        assert_eq!(records(text), [["image", "region"], ["a,1", "the \"north\""], ["b", ""]]);
        assert!(records("").is_empty());
    }

    #[test]
    fn the_region_is_the_first_sub_folder_or_the_folder_itself() {
        assert_eq!(region("lena/2021/a", Path::new("images")), "lena");
        assert_eq!(region("a", Path::new("data/peel")), "peel");
        assert_eq!(stem("lena/2021/a"), "a");
        assert_eq!((without_ending("a.v2.TIF"), without_ending("a.v2")), ("a.v2", "a.v2"));
    }
}
