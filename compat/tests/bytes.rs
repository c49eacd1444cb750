//! The bytes of the C++ programs: frozen, and whatever arrives survived.

#[path = "bytes/golden.rs"]
mod golden;
#[path = "bytes/hostile.rs"]
mod hostile;
