//! Alerts from the event to the receiver.

mod delivery;
mod receiver;
mod refusal;
mod sending;

use std::io;
use std::sync::{Arc, Mutex};

use mainstay::{Event, Severity};

/// What is logged on this thread while this lives.
pub(super) struct Log {
    text: Text,
    _here: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn begin() -> Self {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _here: tracing::subscriber::set_default(subscriber) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn alert(number: usize) -> Event {
    Event::new("key.rejected", Severity::Alert).with("number", number.to_string())
}
