//! The engine inside an actix application with actors of its own: `cargo run -p engine --example inside_actix -- FOLDER`.
//!
//! A board keeps what the application shows. It hears the events of a tune as its own messages, one at a time: where it is slow,
//! the events wait, and the training does not. What is trained is the line of `plain_loop`.
#![expect(clippy::print_stdout, reason = "it is what a user looks at")]

#[path = "plain_loop.rs"]
#[expect(dead_code, reason = "that example's own main")]
mod plain_loop;

use std::error::Error;

use actix::{Actor, Context, Handler, Message};
use engine::{Accelerator, Engine, Event, EventStream, StopMode};
use plain_loop::{Line, over};

/// What the application shows of its tune.
#[derive(Default)]
struct Board {
    runs: u32,
    best: Option<f64>,
}

/// Something happened to the tune.
#[derive(Message)]
#[rtype(result = "()")]
struct Heard(Event);

/// Asks how many runs ended, and for the lowest loss of a configuration.
#[derive(Message)]
#[rtype(result = "(u32, Option<f64>)")]
struct Show;

impl Actor for Board {
    type Context = Context<Self>;
}

impl Handler<Heard> for Board {
    type Result = ();

    fn handle(&mut self, Heard(event): Heard, _ctx: &mut Self::Context) {
        match event {
            Event::RunFinished { .. } => self.runs += 1,
            Event::CvFinished { score: Some(loss), .. } => {
                self.best = Some(self.best.map_or(loss, |best| best.min(loss)));
            }
            _ => {}
        }
    }
}

impl Handler<Show> for Board {
    type Result = actix::MessageResult<Show>;

    fn handle(&mut self, Show: Show, _ctx: &mut Self::Context) -> Self::Result {
        actix::MessageResult((self.runs, self.best))
    }
}

/// Hands the board one event after another, until the job is over or the board is gone.
async fn forward(mut events: EventStream, board: actix::Addr<Board>) {
    while let Some(event) = events.next().await {
        if board.send(Heard(event)).await.is_err() {
            return;
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "artifacts".to_owned());
    let engine = Engine::builder(Line).artifact_dir(folder).accelerator(Accelerator::Cpu).build()?;
    let board = Board::default().start();

    let (request, sampler) = over(&[0.001, 0.1])?;
    let mut tune = engine.tune(request, sampler)?;
    let forwarding = actix::spawn(forward(tune.events(), board.clone()));
    // The application's actors go on meanwhile: nothing of the engine runs on their thread.
    let outcome = tune.await?;
    forwarding.await?;

    let (runs, best) = board.send(Show).await?;
    println!("{}: {runs} runs, lowest loss {:.4}", outcome.tune_name, best.unwrap_or(f64::NAN));
    engine.shut_down(StopMode::Drain).await;
    Ok(())
}
