//! The commonest events and answers by far: some text, and nothing else.
//!
//! A gateway passes such a thing on as it came. To know that it may, it must know that the thing is sound and what it
//! holds; it need not take it apart. [`PlainText::read`] and [`PlainAnswer::read`] find that out without an allocation;
//! whatever else there is, is for the full reader.

mod answer;
mod event;
mod scan;
mod series;

pub use self::answer::PlainAnswer;
pub use self::event::PlainText;
pub use self::series::PlainSeries;
