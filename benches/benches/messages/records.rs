//! Facts on their way to a job's journal.

use std::time::Duration;

use actix::System;
use engine_actors::journal::{JournalLine, Record, encode};
use engine_benches::counting::counted_while;
use engine_tracking::journal::JournalWriter;

use crate::session::{Session, each};
use crate::stage::folder;
use crate::{files, samples};

/// Facts of a block, one after another.
const BLOCK: usize = 100;

/// A journal as a job's, its first record on the disk.
pub fn journal(folder: &std::path::Path) -> JournalLine {
    let first = encode(&samples::record("record/job")).unwrap();
    JournalLine::start(JournalWriter::create(&folder.join("engine.journal"), &first).unwrap()).unwrap()
}

/// Each fact waits until it is as safe as it needs to be, beside a bare write of as many bytes that is as safe.
pub fn record(id: &'static str, session: &mut Session) {
    let folder = folder();
    let record = samples::record(id);
    let outlives_power = record.outlives_power();
    let floor = || match outlives_power {
        true => files::fdatasync(folder.path()),
        false => files::write(folder.path()),
    };
    let line = journal(folder.path());
    session.beside(id, floor, || append(&line, vec![record.clone(); BLOCK]));
    let records = vec![record; BLOCK];
    let ((), taken) = System::new().block_on(counted_while(one_by_one(&line, records)));
    session.taken(id, taken, BLOCK);
}

fn append(line: &JournalLine, records: Vec<Record>) -> Duration {
    let system = System::new();
    each(records.len(), || system.block_on(one_by_one(line, records)))
}

async fn one_by_one(line: &JournalLine, records: Vec<Record>) {
    for record in records {
        line.append(vec![record]).await.unwrap();
    }
}
