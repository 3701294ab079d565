//! Stories of the rail against a scheme adapter that says what it is told to say. Where a whole scheme with a book is
//! needed, gctb-simulator plays it.

mod asking;
mod conformance;
mod connection;
mod doubting;
mod fencing;
mod paying;
mod play;
mod preparing;
mod privacy;
