//! Starts the processes of a seed, ends them as it says, and hears what they tell.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::child::Job;
use crate::plan::{End, Life};
use crate::told::Told;

/// In whose environment a child finds its job.
pub(crate) const CHILD: &str = "MAINSTAY_BUDGET_KILLED";

/// A process that does nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// A life that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) life: Life,
    /// All that it told, in this order.
    pub(crate) told: Vec<Told>,
}

impl Ended {
    /// Whether it has booked everything before its end.
    pub(crate) fn is_graceful(&self) -> bool {
        self.life.end != End::Killed && matches!(self.told.last(), Some(Told::Flushed))
    }
}

/// The lives of one process, one after the other.
pub(crate) fn lead(mut job: Job, lives: &[Life]) -> Result<Vec<Ended>, String> {
    let mut ended = Vec::new();
    for (number, life) in lives.iter().enumerate() {
        job.life = number;
        let told = live(&job, *life)?;
        ended.push(Ended { life: *life, told });
    }
    Ok(ended)
}

fn live(job: &Job, life: Life) -> Result<Vec<Told>, String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["a_child_does_its_job", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, job.write())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = process.stdout.take().unwrap();
    let (is_ready, ready) = channel();
    let hearing = thread::spawn(move || hear(out, &is_ready));
    let ended = end(&mut process, life, &ready);
    let told = hearing.join().unwrap();
    ended?;
    for told in &told {
        if let Told::Broken(what) = told {
            return Err(what.clone());
        }
    }
    if life.end != End::Killed && !matches!(told.last(), Some(Told::Flushed | Told::Unflushed)) {
        return Err(format!("a process that was to end told last: {:?}", told.last()));
    }
    Ok(told)
}

fn hear(out: ChildStdout, is_ready: &Sender<()>) -> Vec<Told> {
    let mut all = Vec::new();
    let mut out = BufReader::new(out);
    loop {
        let mut line = String::new();
        // What was cut off with the process was not told.
        if out.read_line(&mut line).unwrap_or(0) == 0 || !line.ends_with('\n') {
            return all;
        }
        let Some(told) = Told::heard(line.trim_end_matches('\n')) else { continue };
        if matches!(told, Told::Ready) {
            // Whoever waits for it may have gone.
            let _ = is_ready.send(());
        }
        all.push(told);
    }
}

/// Ends a process as its life says.
fn end(process: &mut Child, life: Life, ready: &Receiver<()>) -> Result<(), String> {
    let is_ready = !life.is_ready_first || ready.recv_timeout(STUCK).is_ok();
    thread::sleep(life.lasts);
    if life.end == End::Killed || !is_ready {
        process.kill().unwrap();
        let status = process.wait().unwrap();
        if !is_ready {
            return Err("a process never came to make calls".to_owned());
        }
        return match status.signal() {
            Some(9) => Ok(()),
            _ => Err(format!("a process ended by itself: {status}")),
        };
    }
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let waits = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return if status.success() { Ok(()) } else { Err(format!("a process ended badly: {status}")) };
        }
        if waited > STUCK {
            process.kill().unwrap();
            process.wait().unwrap();
            return Err("a process did not end when it was told to".to_owned());
        }
        thread::sleep(waits);
        waited += waits;
    }
}
