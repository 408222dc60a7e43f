//! The simulator as its clients see it.

mod client;
mod feeding;
mod misbehaving;
mod protocol;
mod rest;
mod rest_faults;
