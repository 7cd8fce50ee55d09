//! Which NVIDIA GPUs this process may use.

use std::path::Path;

/// The GPUs this process may use, in the order that gives them their index: as CUDA is to be told of them.
///
/// A `CUDA_VISIBLE_DEVICES` set from outside (a batch system, the user) is obeyed and its entries kept as they are.
pub(super) fn tokens() -> Vec<String> {
    let present = device_files(Path::new("/dev"));
    let listed = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    visible(present, listed.as_deref())
}

/// The value of `CUDA_VISIBLE_DEVICES` with which a worker sees this one GPU alone.
pub(super) fn visible_token(index: u32) -> String {
    let known = tokens();
    usize::try_from(index).ok().and_then(|i| known.get(i).cloned()).unwrap_or_else(|| index.to_string())
}

/// Counts `/dev/nvidia0`, `/dev/nvidia1`, … as the driver makes them.
fn device_files(dev: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dev) else { return 0 };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix("nvidia"));
            digits
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .count()
}

/// CUDA reads its list up to the first entry it can not use, and so does this.
///
/// # Sources
/// CUDA C++ Programming Guide, section CUDA Environment Variables, `CUDA_VISIBLE_DEVICES`.
fn visible(present: usize, listed: Option<&str>) -> Vec<String> {
    if present == 0 {
        return Vec::new();
    }
    let Some(listed) = listed else { return (0..present).map(|index| index.to_string()).collect() };
    let usable = |token: &&str| match token.parse::<i64>() {
        Ok(index) => usize::try_from(index).is_ok(),
        Err(_) => token.starts_with("GPU-") || token.starts_with("MIG-"),
    };
    listed.split(',').map(str::trim).take_while(usable).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_a_list_makes_no_gpu() {
        assert!(visible(0, Some("0,1")).is_empty());
    }

    #[test]
    fn the_outer_list_is_obeyed_up_to_its_first_unusable_entry() {
        assert_eq!(visible(4, None), ["0", "1", "2", "3"]);
        assert_eq!(visible(4, Some("2, 3")), ["2", "3"]);
        assert_eq!(visible(4, Some("1,-1,2")), ["1"]);
        assert_eq!(visible(4, Some("GPU-8932f937,oops")), ["GPU-8932f937"]);
        assert!(visible(4, Some("")).is_empty());
    }

    #[test]
    fn only_numbered_device_files_are_gpus() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(device_files(dir.path()), 2);
        assert_eq!(device_files(&dir.path().join("missing")), 0);
    }
}
