//! Doubles, probes and contract suites for tests of layers and stores (feature `test-kit`).
//!
//! - [`Scripted`] is a provider that does what a script says: answers, errors, delays, stalls, cuts. It counts what is
//!   done to it, and is strict about tower's readiness. [`ScriptedEmbedder`] is the same for embeddings.
//! - [`check_readiness`] drives a layer through every way in which a handle, a future or a clone can be used and
//!   dropped.
//! - [`contract::provider`] checks what any provider must keep; a [`contract::Suite`] is the same for a store's trait.
//! - [`Generator`] makes random documents of the chat-completions surface from a seed.
//!
//! Time is tokio's, so `#[tokio::test(start_paused = true)]` runs an hour in a millisecond.
//!
//! ```
//! use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
//! use mainstay_provider_core::{Call, ErrorKind, Provider};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let upstream = Scripted::new([
//!     Step::fail_with(ErrorKind::Overloaded),
//!     Step::stream([Piece::text("Hel"), Piece::text("lo"), Piece::Cut]),
//! ]);
//! assert_eq!(upstream.ask(Call::ask("m", "hi")).await.unwrap_err().kind(), ErrorKind::Overloaded);
//! let cut = upstream.ask(Call::ask("m", "hi")).await.unwrap().collect().await.unwrap_err();
//! assert_eq!(cut.kind(), ErrorKind::MalformedResponse);
//! assert_eq!(cut.partial().unwrap().text(), "Hello");
//! assert_eq!(upstream.counts().calls, 2);
//! # }
//! ```

pub mod contract;
mod embedder;
mod generate;
mod places;
mod readiness;
mod script;
mod scripted;
mod stage;
mod tasks;

pub use self::embedder::{EmbedStep, ScriptedEmbedder};
pub use self::generate::Generator;
pub use self::readiness::{BrokenReadiness, check_readiness, check_readiness_of};
pub use self::script::{Gate, Piece, Step};
pub use self::scripted::Scripted;
pub use self::stage::Counts;
