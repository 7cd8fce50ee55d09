//! `engine sync`.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use engine::tracking::{Deed, SyncOptions, Synced, Which, sync_all};
use serde_json::{Value, json};

use crate::display::{Style, plural};
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let folders: Vec<PathBuf> = given.get_many("folders").into_iter().flatten().cloned().collect();
    let options = SyncOptions {
        which: if given.get_flag("force") { Which::Again } else { Which::Missing },
        deed: if given.get_flag("dry-run") { Deed::List } else { Deed::Send },
    };
    let mut total = Total::default();
    sync_all(&folders, options, &|name| std::env::var(name).ok(), &mut |run, synced| {
        total.count(synced);
        tell(style, run, synced);
    })?;
    match style {
        Style::Json => outln!("{}", json!({ "event": "result", "outcome": total.json() })),
        _ => outln!("{}", total.text(options.deed)),
    }
    Ok(if options.deed == Deed::List || total.is_whole() { Code::Done } else { Code::NotFinished })
}

/// What became of all runs.
#[derive(Default)]
struct Total {
    sent: usize,
    there: usize,
    pending: usize,
    lossy: usize,
    not_sent: usize,
}

impl Total {
    fn count(&mut self, synced: &Synced) {
        match synced {
            Synced::Sent { losses, .. } if !losses.is_empty() => self.lossy += 1,
            Synced::Sent { .. } => self.sent += 1,
            Synced::AlreadyThere => self.there += 1,
            Synced::WouldBeSent { .. } => self.pending += 1,
            _ => self.not_sent += 1,
        }
    }

    fn is_whole(&self) -> bool {
        self.lossy == 0 && self.not_sent == 0
    }

    fn json(&self) -> Value {
        json!({
            "sent": self.sent, "already_there": self.there, "would_be_sent": self.pending,
            "sent_with_losses": self.lossy, "not_sent": self.not_sent,
        })
    }

    fn text(&self, deed: Deed) -> String {
        let all = self.sent + self.there + self.pending + self.lossy + self.not_sent;
        if all == 0 {
            return "no runs tracked on W&B were found".to_owned();
        }
        let mut parts = Vec::new();
        let mut part = |count: usize, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        part(self.sent, "sent");
        part(self.lossy, "sent with losses");
        part(self.there, "already there");
        part(self.pending, "to be sent");
        part(self.not_sent, if deed == Deed::List { "not to be sent" } else { "not sent" });
        format!("{}: {}", plural(all as u64, "run"), parts.join(", "))
    }
}

fn tell(style: Style, run: &Path, synced: &Synced) {
    if style == Style::Json {
        outln!("{}", event(run, synced));
        return;
    }
    let run = run.display();
    match synced {
        Synced::Sent { url, rows, files, artifacts, losses } => {
            if style != Style::Quiet {
                let sent = [plural(*rows, "row"), plural(*files, "file"), plural(*artifacts, "artifact")];
                outln!("sent {}: {url}: {run}", sent.join(", "));
            }
            for loss in losses {
                errln!("warning: {loss}: {run}");
            }
        }
        Synced::AlreadyThere if style != Style::Quiet => outln!("already there: {run}"),
        Synced::WouldBeSent { bytes } if style != Style::Quiet => {
            outln!("would be sent, {bytes} bytes: {run}");
        }
        Synced::NotSent { why } => errln!("not sent: {why}: {run}"),
        _ => {}
    }
}

fn event(run: &Path, synced: &Synced) -> Value {
    match synced {
        Synced::Sent { url, rows, files, artifacts, losses } => json!({
            "event": "run-synced", "folder": run, "state": "sent", "url": url, "rows": rows, "files": files,
            "artifacts": artifacts, "losses": losses,
        }),
        Synced::AlreadyThere => json!({ "event": "run-synced", "folder": run, "state": "already-there" }),
        Synced::WouldBeSent { bytes } => {
            json!({ "event": "run-synced", "folder": run, "state": "would-be-sent", "bytes": bytes })
        }
        Synced::NotSent { why } => {
            json!({ "event": "run-synced", "folder": run, "state": "not-sent", "why": why })
        }
        other => json!({ "event": "run-synced", "folder": run, "state": format!("{other:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(losses: &[&str]) -> Synced {
        let losses = losses.iter().map(|loss| (*loss).to_owned()).collect();
        Synced::Sent { url: "u".into(), rows: 1, files: 0, artifacts: 0, losses }
    }

    #[test]
    fn a_loss_or_a_run_that_is_not_there_is_no_success() {
        let whole = |all: &[Synced]| {
            let mut total = Total::default();
            all.iter().for_each(|synced| total.count(synced));
            (total.is_whole(), total.text(Deed::Send))
        };
        assert_eq!(whole(&[]), (true, "no runs tracked on W&B were found".into()));
        assert_eq!(
            whole(&[sent(&[]), Synced::AlreadyThere]),
            (true, "2 runs: 1 sent, 1 already there".into())
        );
        assert_eq!(whole(&[sent(&["a row"])]), (false, "1 run: 1 sent with losses".into()));
        let refused = Synced::NotSent { why: "no".into() };
        assert_eq!(whole(&[sent(&[]), refused]), (false, "2 runs: 1 sent, 1 not sent".into()));
    }
}
