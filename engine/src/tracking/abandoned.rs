//! Locks of engines that have ended, by name.

use std::fs::File;
use std::path::Path;

/// What the name of an engine's lock in its artifact folder begins with.
pub(super) const LIVE_PREFIX: &str = ".live-";
/// What it ends in.
pub(super) const LIVE_SUFFIX: &str = ".lock";

/// Whether this is the lock of an engine that has ended, by its name and by that nobody holds it. One that was made this
/// moment is not held yet: the asker looks at its age first.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_lock = name.starts_with(LIVE_PREFIX) && name.ends_with(LIVE_SUFFIX);
    is_lock && File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}
