//! `engine completions` and `engine man`: what shells and readers of manuals get of the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args;
use crate::exit::{Code, Failure};
use crate::print::outln;

const PROGRAM: &str = "engine";

/// The script that completes the command line in a shell.
pub fn completions(given: &ArgMatches) -> Result<Code, Failure> {
    // clap asks for a shell and knows no others.
    let Some(shell) = given.get_one::<Shell>("shell") else { return Ok(Code::Usage) };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut args::command(), PROGRAM, &mut script);
    outln!("{}", String::from_utf8_lossy(&script).trim_end());
    Ok(Code::Done)
}

/// The manual: its first page, or every page into a folder.
pub fn man(given: &ArgMatches) -> Result<Code, Failure> {
    let Some(folder) = given.get_one::<PathBuf>("to") else {
        let mut page = Vec::new();
        Man::new(args::command()).render(&mut page).map_err(Failure::System)?;
        outln!("{}", String::from_utf8_lossy(&page).trim_end());
        return Ok(Code::Done);
    };
    write_pages(folder).map_err(|source| Failure::Pages(PagesError { folder: folder.clone(), source }))?;
    Ok(Code::Done)
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(args::command(), folder)
}

/// The pages of the manual are not written.
#[derive(Debug, thiserror::Error)]
#[error("the pages of the manual can not be written; give a folder that can: {}", folder.display())]
pub struct PagesError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}
