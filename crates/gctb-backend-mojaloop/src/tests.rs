//! Stories of the rail against a scheme adapter that says what it is told to say. Faults that need a whole scheme are
//! played by gctb-simulator elsewhere.

mod asking;
mod connection;
mod fencing;
mod paying;
mod play;
mod preparing;
mod privacy;
