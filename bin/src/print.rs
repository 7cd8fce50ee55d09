//! Printing that outlives its reader: a pipe that is closed or a terminal that is gone ends the printing, never the job.
//!
//! `println!` and `eprintln!` panic there; nothing in this crate uses them.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static OUT_IS_GONE: AtomicBool = AtomicBool::new(false);
static ERR_IS_GONE: AtomicBool = AtomicBool::new(false);

/// What a write to a terminal that was closed answers.
const EIO: i32 = 5;

/// A line on standard output.
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::print::out(format_args!($($text)*))
    };
}

/// A line on standard error.
macro_rules! errln {
    ($($text:tt)*) => {
        $crate::print::err(format_args!($($text)*))
    };
}

pub(crate) use {errln, outln};

pub(crate) fn out(line: Arguments<'_>) {
    put(&mut io::stdout().lock(), &OUT_IS_GONE, line);
}

pub(crate) fn err(line: Arguments<'_>) {
    put(&mut io::stderr().lock(), &ERR_IS_GONE, line);
}

/// Notes what a write to standard error answered that was not made from here.
pub(crate) fn note_err(answer: &io::Result<()>) {
    note(&ERR_IS_GONE, answer);
}

/// Whether nobody can read standard error any more.
pub(crate) fn err_is_gone() -> bool {
    ERR_IS_GONE.load(Ordering::Relaxed)
}

/// Writes a line in one piece, so that those of several threads and processes do not mix. A full disk loses this line only.
fn put(to: &mut impl Write, is_gone: &AtomicBool, line: Arguments<'_>) {
    if is_gone.load(Ordering::Relaxed) {
        return;
    }
    let text = format!("{line}\n");
    note(is_gone, &to.write_all(text.as_bytes()).and_then(|()| to.flush()));
}

fn note(is_gone: &AtomicBool, answer: &io::Result<()>) {
    if let Err(error) = answer
        && (error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(EIO))
    {
        is_gone.store(true, Ordering::Relaxed);
    }
}

/// Standard error for the log, which would panic where its own complaint can not be written.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !err_is_gone() {
            note_err(&io::stderr().write_all(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes so many lines and then answers with this error.
    struct Reader {
        left: usize,
        then: io::Error,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(match self.then.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => self.then.kind().into(),
                });
            }
            self.left -= 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_printing_and_a_full_disk_does_not() {
        for (then, ends) in [
            (io::Error::from(ErrorKind::BrokenPipe), true),
            (io::Error::from_raw_os_error(EIO), true),
            (io::Error::from(ErrorKind::StorageFull), false),
        ] {
            let (is_gone, mut reader) = (AtomicBool::new(false), Reader { left: 1, then });
            put(&mut reader, &is_gone, format_args!("one"));
            assert!(!is_gone.load(Ordering::Relaxed));
            put(&mut reader, &is_gone, format_args!("two"));
            assert_eq!(is_gone.load(Ordering::Relaxed), ends, "{:?}", reader.then);
        }
    }
}
