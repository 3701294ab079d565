//! The rails as the bridge meets them: the program itself, real HTTP, real callbacks, a real kill.
//!
//! What is asserted about money is asserted of the rail's book.

mod faults;
mod listener;
mod load;
mod mojaloop;
mod mpesa;
mod simple_mpesa;
mod world;
