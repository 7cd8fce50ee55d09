//! Which program this is.

use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Version of the engine, and length and checksum of the running program; those are null where it can not be read.
pub(crate) fn code() -> Value {
    let build = std::env::current_exe().and_then(|path| checksum(File::open(path)?)).ok();
    json!({ "engine": env!("CARGO_PKG_VERSION"), "build": build })
}

fn checksum(mut file: File) -> std::io::Result<String> {
    let mut chunk = vec![0; CHUNK];
    let (mut check, mut bytes) = (0, 0_u64);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(format!("{bytes:x}-{check:08x}"));
        }
        check = crc32c::crc32c_append(check, &chunk[..read]);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_has_a_version_and_a_build() {
        let code = code();
        assert_eq!(code["engine"], env!("CARGO_PKG_VERSION"));
        assert!(code["build"].as_str().is_some_and(|build| build.len() > 10), "{code}");
        assert_eq!(code, super::code());
    }
}
